import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atExit } from "./at-exit.ts";

/** A new folder that goes, with all in it, when it is disposed of or this process exits. */
export async function makeTemporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "idtoken-authz-"));
  const all = { recursive: true, force: true };
  const callOff = atExit(() => rmSync(path, all));
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      callOff();
      await rm(path, all);
    },
  };
}
