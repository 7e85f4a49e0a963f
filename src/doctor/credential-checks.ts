import { stat } from "node:fs/promises";
import { systemClock } from "../clock.ts";
import { readCredential } from "../credential-file.ts";
import type { Credential, CredentialFile } from "../credential.ts";
import { StartError } from "../errors.ts";
import { CheckFailure, type Finding } from "./checklist.ts";
import { shellQuote } from "./shell-quote.ts";

const READABLE_BY_GROUP = 0o040;
const READABLE_BY_OTHERS = 0o004;

/** Reads the credential file and looks at its rights. */
export async function checkFile(path: string): Promise<Finding<CredentialFile>> {
  const file = await orFailure(
    () => readCredential(path, systemClock),
    `name a credential file that user ${process.getuid?.()} may read: --credentials FILE, or GOOGLE_APPLICATION_CREDENTIALS`,
  );
  const bits = (await stat(path)).mode & 0o777;
  const mode = bits.toString(8).padStart(4, "0");
  const readers = readersOf(bits);
  return {
    message: `${path} can be read by ${readers} (mode ${mode})`,
    remedy: readers === "its owner alone" ? undefined : `chmod 600 ${shellQuote(path)}`,
    facts: { path, mode },
    value: file,
  };
}

function readersOf(bits: number): string {
  if ((bits & READABLE_BY_OTHERS) !== 0) return "everybody";
  return (bits & READABLE_BY_GROUP) === 0 ? "its owner alone" : "its group";
}

/** Makes sense of the file's content. */
export async function checkKey(file: CredentialFile): Promise<Finding<Credential>> {
  const credential = await orFailure(
    () => file.parse(),
    "make a new key: gcloud iam service-accounts keys create FILE --iam-account=EMAIL",
  );
  const { type, principal, keyId } = credential;
  const suffix = keyId === "" ? "" : `, key ID ${keyId}`;
  return {
    message: `${type} ${principal}${suffix}`,
    facts: { type, principal, keyId },
    value: credential,
  };
}

async function orFailure<T>(run: () => T | Promise<T>, remedy: string): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof StartError) throw new CheckFailure(error.message, remedy);
    throw error;
  }
}
