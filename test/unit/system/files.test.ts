import { join } from "node:path";
import { expect, it } from "vitest";
import { watchFile } from "../../../src/system/files.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

it("looks every 10 seconds where no event tells of a change, until it is ended", async () => {
  await using folder = await makeTemporaryFolder();
  const clock = createFakeClock();
  let looks = 0;
  const end = watchFile(join(folder.path, "gone", "key.json"), clock, () => (looks += 1));
  clock.advance(9_999);
  expect(looks).toBe(0);
  clock.advance(20_001);
  expect(looks).toBe(3);
  end();
  clock.advance(60_000);
  expect(looks).toBe(3);
  expect(clock.armed()).toEqual([]);
});
