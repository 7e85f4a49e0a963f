import { mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/system/clock.ts";
import { watchFile } from "../../../src/system/watch-file.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

describe("watchFile", () => {
  it("calls back every 10 seconds without any event, until it is ended", async () => {
    await using folder = await makeTemporaryFolder();
    const clock = createFakeClock();
    let calls = 0;
    const end = watchFile(join(folder.path, "gone", "key.json"), clock, () => (calls += 1));
    clock.advance(9_999);
    expect(calls).toBe(0);
    clock.advance(20_001);
    expect(calls).toBe(3);
    end();
    clock.advance(60_000);
    expect(calls).toBe(3);
    expect(clock.armed()).toEqual([]);
  });

  it.each([
    ["a write in place", (path: string) => writeFile(path, "new")],
    [
      "a rename over the file",
      async (path: string) => {
        await writeFile(`${path}.new`, "new");
        await rename(`${path}.new`, path);
      },
    ],
    [
      "a new link to the folder of the files, as Kubernetes makes it",
      async (path: string) => {
        const folder = join(path, "..");
        await mkdir(join(folder, "version-2"));
        await symlink("version-2", join(folder, "..data_tmp"));
        await rename(join(folder, "..data_tmp"), join(folder, "..data"));
      },
    ],
  ])("calls back soon after %s", async (_what, change) => {
    await using folder = await makeTemporaryFolder();
    const path = join(folder.path, "key.json");
    await writeFile(path, "old");
    await symlink("..", join(folder.path, "..data"));
    let calls = 0;
    const end = watchFile(path, systemClock, () => (calls += 1));
    // The first call only means that the watch is ready.
    await expect.poll(() => calls).toBe(1);
    await change(path);
    await expect.poll(() => calls).toBeGreaterThan(1);
    end();
  });
});
