import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "./clock.ts";
import { codeOf, StartError } from "./errors.ts";

/** Longest path of a socket on every system: macOS has 104 bytes for it and its terminator. */
const MAX_SOCKET_PATH = 103;
/** Systems remove temporary files that nobody has used for some days. */
const TOUCH_MS = 3_600_000;

/**
 * Makes a folder that only this user can look into (mode 0700), for sockets of names up to
 * `longestName`. What is in it never counts as old; disposing of the folder removes it. Throws a
 * StartError that names the folder for temporary files (TMPDIR).
 */
export async function makePrivateFolder(
  longestName: string,
  clock: Clock,
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
  const stop = repeat(clock, () => touchAll(path));
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      stop();
      await remove();
    },
  };
}

function repeat(clock: Clock, task: () => Promise<void>): () => void {
  let cancel = () => {};
  const next = () => {
    cancel = clock.schedule(TOUCH_MS, () => {
      void task();
      next();
    });
  };
  next();
  return () => cancel();
}

/** Makes all that is in a folder as new as if it had just been used. */
async function touchAll(folder: string): Promise<void> {
  const now = new Date();
  // What has just gone needs no time.
  const touch = (path: string) => utimes(path, now, now).catch(() => {});
  const names = await readdir(folder).catch(() => []);
  await Promise.all([folder, ...names.map((name) => join(folder, name))].map(touch));
}
