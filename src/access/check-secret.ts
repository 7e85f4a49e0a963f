import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../system/clock.ts";
import { StartError } from "../system/errors.ts";
import { openFollowedFile } from "../system/followed-file.ts";
import { readOnce } from "../system/small-file.ts";
import { showPath } from "../system/show.ts";

/** The header in which Envoy sends the check secret. */
export const CHECK_SECRET_HEADER = "x-authz-secret";

/** The secret that a request must carry to be answered. */
export interface CheckSecret {
  /** Whether this is the secret. Takes as long for a near miss as for any other. */
  readonly matches: (given: string | undefined) => boolean;
  /** Reads the file again. Never rejects. */
  readonly reload: () => Promise<void>;
  /** Ends the watch of the file. */
  readonly close: () => void;
}

/** What becomes of the check secret. */
export interface CheckSecretEvents {
  readonly secretChanged: () => void;
  /** The file cannot be used, for a reason not reported a moment ago; the old secret stays. */
  readonly secretUnusable: (error: Error) => void;
  /** The path can be read only once, so a change of the secret needs a restart. */
  readonly secretNotFollowed: (path: string) => void;
}

/** What a header can carry unchanged (RFC 9110, section 5.5), and not too long for one. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?$/;

/**
 * Reads the secret, the file's content without its last line break, and follows its changes.
 * Rejects with a StartError that names the file and the rule and shows nothing of the content.
 */
export async function openCheckSecret(
  path: string,
  clock: Clock,
  events: CheckSecretEvents,
): Promise<CheckSecret> {
  const file = await openFollowedFile(path, "the check secret", clock);
  // Digests have one length, as the comparison requires, and show nothing of the secret's.
  let expected = digest(parseSecret(file.initial, path));
  file.follow({
    changed: (content) => {
      try {
        const found = digest(parseSecret(content, path));
        if (!found.equals(expected)) events.secretChanged();
        expected = found;
      } catch (error) {
        if (!(error instanceof StartError)) throw error;
        events.secretUnusable(error);
      }
    },
    unreadable: events.secretUnusable,
  });
  if (!file.isFollowed) events.secretNotFollowed(path);
  return {
    matches: (given) => given !== undefined && timingSafeEqual(digest(given), expected),
    reload: file.look,
    close: file.close,
  };
}

/**
 * Reads the secret once. Rejects with a StartError that names the file and the rule and shows nothing
 * of the content.
 */
export async function readCheckSecret(path: string): Promise<string> {
  return parseSecret((await readOnce(path, "the check secret")).bytes, path);
}

function parseSecret(content: Buffer, path: string): string {
  const secret = content.toString("utf8").replace(/\r?\n$/, "");
  if (!HEADER_VALUE.test(secret)) {
    throw new StartError(
      `${showPath(path)}: the check secret must be one line of 1 to 1024 printable ASCII characters`,
    );
  }
  return secret;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
