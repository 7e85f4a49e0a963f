import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openFollowedFile } from "../../../src/system/followed-file.ts";
import { readAgain } from "../../../src/system/small-file.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
let path = "";

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  path = join(folder.path, "key");
});
afterAll(() => folder?.[Symbol.asyncDispose]());
beforeEach(() => writeFile(path, "first"));

/** A followed file and what it reports, as text. */
async function follow(read?: typeof readAgain) {
  const clock = createFakeClock();
  const reported: string[] = [];
  const file = await openFollowedFile(path, "the key", clock, read);
  file.follow({
    changed: (bytes) => reported.push(bytes.toString()),
    unreadable: ({ message }) => reported.push(message),
  });
  return {
    clock,
    file,
    reported,
    [Symbol.dispose]: () => file.close(),
  };
}

describe("a followed file", () => {
  it("has been read once when it is opened", async () => {
    using followed = await follow();
    expect(followed.file.initial.toString()).toBe("first");
    expect(followed.file.isFollowed).toBe(true);
  });

  it("reports content only when it has changed", async () => {
    using followed = await follow();
    const { file, reported } = followed;
    await file.look();
    expect(reported).toEqual([]);
    await writeFile(path, "second");
    await file.look();
    await file.look();
    await writeFile(path, "first");
    await file.look();
    expect(reported).toEqual(["second", "first"]);
  });

  it("reports a reason once, and the content when it is back, changed or not", async () => {
    using followed = await follow();
    const { file, reported } = followed;
    await rm(path);
    await file.look();
    await file.look();
    const gone = `${path}: the key cannot be read: there is no such file`;
    expect(reported).toEqual([gone]);
    await writeFile(path, "first");
    await file.look();
    expect(reported).toEqual([gone, "first"]);
  });

  it("is found changed by polling where no event arrives", async () => {
    const changed = Promise.withResolvers<string>();
    const clock = createFakeClock();
    const file = await openFollowedFile(path, "the key", clock);
    file.follow({ changed: (bytes) => changed.resolve(bytes.toString()), unreadable: () => {} });
    await writeFile(path, "second");
    // Events only arm a timer of this clock.
    clock.advance(10_000);
    expect(await changed.promise).toBe("second");
    file.close();
  });

  it("is read one time after another, and once more if a change came meanwhile", async () => {
    const gates: PromiseWithResolvers<void>[] = [];
    using followed = await follow(async (...args) => {
      const gate = Promise.withResolvers<void>();
      gates.push(gate);
      await gate.promise;
      return readAgain(...args);
    });
    const { file, reported } = followed;
    const looks = [file.look(), file.look(), file.look()];
    expect(gates).toHaveLength(1);
    await writeFile(path, "second");
    gates[0]?.resolve();
    await expect.poll(() => gates.length).toBe(2);
    gates[1]?.resolve();
    await Promise.all(looks);
    expect(gates).toHaveLength(2);
    expect(reported).toEqual(["second"]);
  });

  it("is reported while a read of it does not end, and again when it does", async () => {
    const gate = Promise.withResolvers<void>();
    using followed = await follow(async (...args) => {
      await gate.promise;
      return readAgain(...args);
    });
    const { clock, file, reported } = followed;
    const look = file.look();
    clock.advance(30_000);
    expect(reported).toEqual([`${path}: the key cannot be read: no answer yet`]);
    gate.resolve();
    await look;
    expect(reported).toEqual([`${path}: the key cannot be read: no answer yet`, "first"]);
  });

  it("reports nothing once it is closed", async () => {
    using followed = await follow();
    const { clock, file, reported } = followed;
    file.close();
    await writeFile(path, "second");
    await file.look();
    expect(reported).toEqual([]);
    expect(clock.armed()).toEqual([]);
  });

  it("is not read again if it is a pipe", async () => {
    await rm(path);
    await promisify(execFile)("mkfifo", [path]);
    const clock = createFakeClock();
    const opening = openFollowedFile(path, "the key", clock, () => {
      throw new Error("read again");
    });
    await writeFile(path, "from the pipe");
    const file = await opening;
    expect(file.initial.toString()).toBe("from the pipe");
    expect(file.isFollowed).toBe(false);
    file.follow({ changed: () => {}, unreadable: () => {} });
    await file.look();
    expect(clock.armed()).toEqual([]);
    await rm(path);
  });
});
