import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { codeOf, StartError } from "./errors.ts";

/** Longest path of a socket on every system: macOS has 104 bytes for it and its terminator. */
const MAX_SOCKET_PATH = 103;

/**
 * Makes a folder that only this user can look into (mode 0700), for sockets of names up to
 * `longestName`; disposing of it removes it. Throws a StartError that names the folder for temporary
 * files (TMPDIR).
 */
export async function makePrivateFolder(
  longestName: string,
): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "idtoken-authz-up-")).catch((cause: unknown) => {
    throw new StartError(
      `TMPDIR ${tmpdir()}: no folder can be made there (${codeOf(cause) ?? "unknown error"})`,
      { cause },
    );
  });
  const remove = () => rm(path, { recursive: true, force: true });
  if (Buffer.byteLength(join(path, longestName)) > MAX_SOCKET_PATH) {
    await remove();
    throw new StartError(`TMPDIR ${tmpdir()}: is too long a path for sockets in it`);
  }
  return { path, [Symbol.asyncDispose]: remove };
}
