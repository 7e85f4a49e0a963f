import { gcpMetadata } from "google-auth-library";
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../system/clock.ts";
import { codeOf, MintError, StartError } from "../system/errors.ts";
import { openFollowedFile, type FollowedFile } from "../system/followed-file.ts";
import { showPath } from "../system/show.ts";
import type { Credential } from "./credential.ts";
import { parseCredential, toCredential, type CredentialOptions } from "./credential-file.ts";
import { createMetadataServer, type MetadataServer } from "./metadata-server.ts";

/** Where a credential comes from. */
export interface CredentialPlace {
  /** Its file, read once; undefined for the metadata server. */
  readonly file: FollowedFile | undefined;
  /** Parses what the file held first. Throws a StartError of one line. */
  readonly initial: () => Credential;
  /** Parses later content of the file, likewise. */
  readonly parse: (content: Buffer) => Credential;
}

/** No credential was given, and there is none where it is looked for. */
export class NoCredential extends StartError {
  /** Where it was looked for, and why it is not there. */
  readonly places: readonly string[];
  readonly remedy =
    "give --credentials the path of a credential file, or run: gcloud auth application-default login " +
    "--impersonate-service-account=ACCOUNT";

  constructor(places: readonly string[]) {
    super("");
    this.places = places;
    const lines = ["no credential was found; looked for", ...places.map((each) => `  ${each}`)];
    this.message = [...lines, `→ ${this.remedy}`].join("\n");
  }
}

/** A metadata server is one hop away and answers within milliseconds. */
const METADATA_TIMEOUT_MS = 2000;

/**
 * Finds the credential: the file that was given, else Application Default Credentials, which are
 * gcloud's well-known file and then the metadata server. Waits for a metadata server for at most
 * 2 s; it need not answer where the environment or the machine says that there is one. Throws a
 * StartError when the file cannot be read, or a NoCredential when there is none.
 */
export async function findCredential(
  given: string | undefined,
  clock: Clock,
  options: CredentialOptions,
): Promise<CredentialPlace> {
  const { env } = options;
  if (given !== undefined) return openCredential(given, clock, options);
  const wellKnown = wellKnownFile(env);
  if (wellKnown !== undefined && (await exists(wellKnown))) {
    return openCredential(wellKnown, clock, options);
  }
  const server = createMetadataServer(env, clock);
  const absence = await whyAbsent(server, env, clock);
  if (absence !== undefined) throw nothingFound(wellKnown, absence);
  const credential = toCredential(server.identity, "the metadata server", clock, options);
  return { file: undefined, initial: () => credential, parse: () => credential };
}

async function openCredential(
  path: string,
  clock: Clock,
  options: CredentialOptions,
): Promise<CredentialPlace> {
  const file = await openFollowedFile(path, "the credential", clock);
  const parse = (content: Buffer) => parseCredential(content, path, clock, options);
  return { file, initial: () => parse(file.initial), parse };
}

/**
 * Where `gcloud auth application-default login` writes its file; undefined for a user without a
 * home folder, as in a container that runs under an arbitrary user ID.
 */
function wellKnownFile(env: NodeJS.ProcessEnv): string | undefined {
  const folder = env["CLOUDSDK_CONFIG"] || gcloudFolder(env);
  return folder === undefined ? undefined : join(folder, "application_default_credentials.json");
}

function gcloudFolder(env: NodeJS.ProcessEnv): string | undefined {
  if (process.platform === "win32") return join(env["APPDATA"] ?? "", "gcloud");
  const home = env["HOME"] || homeOfUser();
  return home === undefined ? undefined : join(home, ".config", "gcloud");
}

function homeOfUser(): string | undefined {
  try {
    return homedir();
  } catch {
    // The user ID is not in the system's list of users.
    return undefined;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    (error: unknown) => !["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? ""),
  );
}

/** Why the metadata server cannot be used; undefined when it can. */
async function whyAbsent(
  { host, learnPrincipal }: MetadataServer,
  env: NodeJS.ProcessEnv,
  clock: Clock,
): Promise<string | undefined> {
  // A variable of Google's library for Node.js.
  if (env["METADATA_SERVER_DETECTION"] === "none") return "METADATA_SERVER_DETECTION is none";
  const deadline = new AbortController();
  const message = `no answer from ${host} within ${METADATA_TIMEOUT_MS} ms`;
  const cancel = clock.schedule(METADATA_TIMEOUT_MS, () =>
    deadline.abort(new MintError("mint_timeout", message)),
  );
  try {
    await learnPrincipal(deadline.signal);
    return undefined;
  } catch (error) {
    if (!(error instanceof MintError) || error.permanent) return undefined;
    return isSurelyThere(env) ? undefined : error.message;
  } finally {
    cancel();
  }
}

/** Whether the environment or the machine says that there is a metadata server. */
function isSurelyThere(env: NodeJS.ProcessEnv): boolean {
  const detection = env["METADATA_SERVER_DETECTION"];
  if (detection === "assume-present") return true;
  if (detection === "ping-only") return false;
  return (env["GCE_METADATA_HOST"] ?? "") !== "" || gcpMetadata.detectGCPResidency();
}

function nothingFound(wellKnown: string | undefined, absence: string): NoCredential {
  const server = "the metadata server";
  return new NoCredential([
    "--credentials or GOOGLE_APPLICATION_CREDENTIALS: not given",
    wellKnown === undefined
      ? "gcloud's credential file: HOME is not set, and the user has no home folder"
      : `${showPath(wellKnown)}: there is no such file`,
    absence.startsWith(server) ? absence : `${server}: ${absence}`,
  ]);
}
