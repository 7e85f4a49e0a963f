import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isExecutable } from "../../../src/system/executable.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

it("a file is executable if this process may run it; a folder or a missing file is not", async () => {
  await using folder = await makeTemporaryFolder();
  const path = join(folder.path, "program");
  await writeFile(path, "#!/bin/sh\n");
  await chmod(path, 0o644);
  expect(await isExecutable(path)).toBe(false);
  await chmod(path, 0o755);
  expect(await isExecutable(path)).toBe(true);
  expect(await isExecutable(folder.path)).toBe(false);
  expect(await isExecutable(`${path}.missing`)).toBe(false);
});
