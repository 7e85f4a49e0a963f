import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atExit } from "./at-exit.ts";

/** Creates a folder that is removed with its content on disposal or when this process exits. */
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
