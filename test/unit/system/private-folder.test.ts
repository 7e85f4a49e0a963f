import { existsSync } from "node:fs";
import { stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { makePrivateFolder } from "../../../src/system/private-folder.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

afterEach(() => vi.unstubAllEnvs());

it("is for its owner alone, and goes with all in it", async () => {
  const folder = await makePrivateFolder("a.sock", createFakeClock());
  expect((await stat(folder.path)).mode & 0o777).toBe(0o700);
  await writeFile(join(folder.path, "file"), "");
  await folder[Symbol.asyncDispose]();
  expect(existsSync(folder.path)).toBe(false);
});

it("cannot be made where TMPDIR is no folder; the error names it and the reason", async () => {
  vi.stubEnv("TMPDIR", "/dev/null");
  const made = makePrivateFolder("a.sock", createFakeClock());
  await expect(made).rejects.toThrow("TMPDIR /dev/null: no folder can be made there (ENOTDIR)");
});

it("cannot be made where its sockets would have too long paths", async () => {
  await expect(makePrivateFolder("a".repeat(100), createFakeClock())).rejects.toThrow(
    /^TMPDIR .*too long/,
  );
});

it("makes its files new again each hour, for cleaners of temporary files to leave them", async () => {
  const clock = createFakeClock();
  await using folder = await makePrivateFolder("a.sock", clock);
  const file = join(folder.path, "file");
  await writeFile(file, "");
  for (let hour = 1; hour <= 2; hour += 1) {
    await utimes(file, 0, 0);
    clock.advance(3_600_000);
    await expect.poll(async () => (await stat(file)).mtimeMs).toBeGreaterThan(0);
  }
});

it("arms no timer after it is gone", async () => {
  const clock = createFakeClock();
  const folder = await makePrivateFolder("a.sock", clock);
  await folder[Symbol.asyncDispose]();
  expect(clock.armed()).toEqual([]);
});
