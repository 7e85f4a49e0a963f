import { existsSync } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { makePrivateFolder } from "../../../src/system/private-folder.ts";

afterEach(() => vi.unstubAllEnvs());

it("is for its owner alone, and goes with all in it", async () => {
  const folder = await makePrivateFolder("a.sock");
  expect((await stat(folder.path)).mode & 0o777).toBe(0o700);
  await writeFile(join(folder.path, "file"), "");
  await folder[Symbol.asyncDispose]();
  expect(existsSync(folder.path)).toBe(false);
});

it("cannot be made where TMPDIR is no folder; the error names it and the reason", async () => {
  vi.stubEnv("TMPDIR", "/dev/null");
  const made = makePrivateFolder("a.sock");
  await expect(made).rejects.toThrow("TMPDIR /dev/null: no folder can be made there (ENOTDIR)");
});

it("cannot be made where its sockets would have too long paths", async () => {
  await expect(makePrivateFolder("a".repeat(100))).rejects.toThrow(/^TMPDIR .*too long/);
});
