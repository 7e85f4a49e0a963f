import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Clock } from "../system/clock.ts";
import { codeOf, StartError } from "../system/errors.ts";
import { watchFile } from "../system/files.ts";

/** The header in which Envoy sends the check secret. */
export const CHECK_SECRET_HEADER = "x-authz-secret";

/** What a request must carry to be answered at all. */
export interface CheckSecret {
  /** Whether this is the secret. Takes as long for a near miss as for any other. */
  readonly matches: (given: string | undefined) => boolean;
  /** Reads the file again. Never rejects. */
  readonly reload: () => Promise<void>;
  /** Ends the watch of the file. */
  readonly close: () => void;
}

export interface CheckSecretEvents {
  readonly secretChanged: () => void;
  /** The file is unusable, and was not a moment ago; the old secret stays. */
  readonly secretUnusable: (error: Error) => void;
}

/** What a header can carry unchanged (RFC 9110, section 5.5), and not too long for one. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?$/;

/**
 * Reads the secret, the file's content without its last line break, and follows its changes.
 * Throws a StartError that names the file and the rule, and nothing of the content.
 */
export async function openCheckSecret(
  path: string,
  clock: Clock,
  events: CheckSecretEvents,
): Promise<CheckSecret> {
  // Digests are of one length, which the comparison needs and which tells nothing.
  let expected = digest(await readSecret(path));
  let fault = "";

  async function reload(): Promise<void> {
    try {
      const found = digest(await readSecret(path));
      if (!found.equals(expected)) events.secretChanged();
      expected = found;
      fault = "";
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      if (error.message !== fault) events.secretUnusable(error);
      fault = error.message;
    }
  }

  return {
    matches: (given) => given !== undefined && timingSafeEqual(digest(given), expected),
    reload,
    close: watchFile(path, clock, () => void reload()),
  };
}

async function readSecret(path: string): Promise<string> {
  let content: string;
  try {
    content = await readFile(path, "utf8");
  } catch (cause) {
    const reason = codeOf(cause) ?? "unknown error";
    throw new StartError(`${path}: the check secret cannot be read: ${reason}`, { cause });
  }
  const secret = content.replace(/\r?\n$/, "");
  if (!HEADER_VALUE.test(secret)) {
    throw new StartError(
      `${path}: the check secret must be one line of 1 to 1024 printable ASCII characters`,
    );
  }
  return secret;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
