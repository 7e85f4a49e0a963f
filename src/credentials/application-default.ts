import { gcpMetadata } from "google-auth-library";
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../system/clock.ts";
import type { CredentialFile } from "./credential.ts";
import { readCredential, toCredential, type CredentialOptions } from "./credential-file.ts";
import { codeOf, MintError, StartError } from "../system/errors.ts";
import { createMetadataServer, type MetadataServer } from "./metadata-server.ts";

/** Where a credential is. */
export interface CredentialPlace {
  /** The file to watch; undefined for the metadata server. */
  readonly path: string | undefined;
  /** Throws a StartError when it cannot be read. */
  readonly read: () => Promise<CredentialFile>;
}

/** A metadata server is one hop away: this is long. */
const METADATA_TIMEOUT_MS = 2000;

/**
 * Finds the credential: the file that was given, else Application Default Credentials, which are
 * gcloud's well-known file and then the metadata server. A metadata server is waited for, 2 s at
 * most, but need not answer where the environment or the machine says that there is one. Throws a
 * StartError that lists what was looked for when there is none.
 */
export async function findCredential(
  given: string | undefined,
  clock: Clock,
  options: CredentialOptions = {},
): Promise<CredentialPlace> {
  const { env = process.env } = options;
  const atPath = (path: string) => ({ path, read: () => readCredential(path, clock, options) });
  if (given !== undefined) return atPath(given);
  const wellKnown = wellKnownFile(env);
  if (await exists(wellKnown)) return atPath(wellKnown);
  const server = createMetadataServer(env, clock);
  const absence = await whyAbsent(server, env, clock);
  if (absence !== undefined) throw new StartError(nothingFound(wellKnown, absence));
  const credential = toCredential(server.identity, "the metadata server", clock, options);
  const file: CredentialFile = { fingerprint: "metadata server", parse: () => credential };
  return { path: undefined, read: async () => file };
}

/** Where `gcloud auth application-default login` leaves its file. */
function wellKnownFile(env: NodeJS.ProcessEnv): string {
  const folder =
    process.platform === "win32"
      ? join(env["APPDATA"] ?? "", "gcloud")
      : join(env["HOME"] || homedir(), ".config", "gcloud");
  return join(env["CLOUDSDK_CONFIG"] || folder, "application_default_credentials.json");
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    (error: unknown) => !["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? ""),
  );
}

/** Why the metadata server is no credential, undefined when it is one. */
async function whyAbsent(
  { host, learnPrincipal }: MetadataServer,
  env: NodeJS.ProcessEnv,
  clock: Clock,
): Promise<string | undefined> {
  // The switch of Google's library for Node.js.
  const detection = env["METADATA_SERVER_DETECTION"];
  if (detection === "none") return "METADATA_SERVER_DETECTION is none";
  const isNamed = (env["GCE_METADATA_HOST"] ?? "") !== "" || gcpMetadata.detectGCPResidency();
  const isSure = detection === "assume-present" || (isNamed && detection !== "ping-only");
  const deadline = new AbortController();
  const message = `no answer from ${host} within ${METADATA_TIMEOUT_MS} ms`;
  const cancel = clock.schedule(METADATA_TIMEOUT_MS, () =>
    deadline.abort(new MintError("mint_timeout", message)),
  );
  try {
    await learnPrincipal(deadline.signal);
    return undefined;
  } catch (error) {
    if (isSure || !(error instanceof MintError) || error.permanent) return undefined;
    return error.message;
  } finally {
    cancel();
  }
}

function nothingFound(wellKnown: string, absence: string): string {
  return [
    "no credential was found; looked for",
    "  --credentials or GOOGLE_APPLICATION_CREDENTIALS: not given",
    `  ${wellKnown}: there is no such file`,
    `  the metadata server: ${absence}`,
    "Give --credentials the path of a credential file, or run: gcloud auth application-default login " +
      "--impersonate-service-account=ACCOUNT",
  ].join("\n");
}
