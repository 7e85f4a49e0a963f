import { stat } from "node:fs/promises";
import { systemClock } from "../system/clock.ts";
import type { CredentialOptions } from "../credentials/credential-file.ts";
import type { Credential } from "../credentials/credential.ts";
import {
  findCredential,
  NoCredential,
  type CredentialPlace,
} from "../credentials/application-default.ts";
import { StartError } from "../system/errors.ts";
import { CheckFailure, type Finding } from "./checklist.ts";
import { shellQuote } from "./shell-quote.ts";

const READABLE_BY_GROUP = 0o040;
const READABLE_BY_OTHERS = 0o004;

/** Finds the credential as serve does, and checks who can read its file. */
export async function checkFile(
  given: Pick<CredentialOptions, "impersonate"> & { readonly credentials: string | undefined },
  env: NodeJS.ProcessEnv,
): Promise<Finding<CredentialPlace>> {
  const remedy =
    `name a credential file that user ${process.getuid?.()} can read: ` +
    "--credentials FILE, or GOOGLE_APPLICATION_CREDENTIALS";
  const { impersonate } = given;
  const find = () => findCredential(given.credentials, systemClock, { impersonate, env });
  const value = await orFailure(find, remedy);
  if (value.file === undefined) return { message: "none: the metadata server is used", value };
  const { path, isFollowed } = value.file;
  if (!isFollowed) return { message: `${path} was read; it can be read only once`, value };
  const bits = (await stat(path)).mode & 0o777;
  const mode = bits.toString(8).padStart(4, "0");
  const readers = readersOf(bits);
  return {
    message: `${path} can be read by ${readers} (mode ${mode})`,
    remedy: readers === "its owner only" ? undefined : `chmod 600 ${shellQuote(path)}`,
    facts: { path, mode },
    value,
  };
}

function readersOf(bits: number): string {
  if ((bits & READABLE_BY_OTHERS) !== 0) return "everyone";
  return (bits & READABLE_BY_GROUP) === 0 ? "its owner only" : "its group";
}

/** Parses the file's content. */
export async function checkKey(place: CredentialPlace): Promise<Finding<Credential>> {
  const credential = await orFailure(
    () => place.initial(),
    "use another credential, such as a new key: " +
      "gcloud iam service-accounts keys create FILE --iam-account=EMAIL",
  );
  const { type, principal, keyId } = credential;
  const suffix = keyId === "" ? "" : `, key ID ${keyId}`;
  const who = principal === "" ? "(account named only in its tokens)" : principal;
  return {
    message: `${type} ${who}${suffix}`,
    facts: { type, principal, keyId },
    value: credential,
  };
}

async function orFailure<T>(run: () => T | Promise<T>, remedy: string): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof NoCredential) {
      throw new CheckFailure(`no credential was found (${error.places.join("; ")})`, error.remedy);
    }
    if (error instanceof StartError) {
      throw new CheckFailure(error.message.replaceAll(/\s*\n\s*/g, "; "), remedy);
    }
    throw error;
  }
}
