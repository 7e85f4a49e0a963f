import { execFile } from "node:child_process";
import { mkdir, open, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StartError } from "../../../src/system/errors.ts";
import { readAgain, readOnce } from "../../../src/system/small-file.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const MAX_BYTES = 1_048_576;
let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
});
afterAll(() => folder?.[Symbol.asyncDispose]());

const at = (name: string) => join(folder.path, name);

async function makePipe(name: string): Promise<string> {
  await promisify(execFile)("mkfifo", [at(name)]);
  return at(name);
}

describe.each([
  ["readOnce", readOnce],
  ["readAgain", readAgain],
])("%s", (_name, read) => {
  it("reads a regular file, which can be read again", async () => {
    await writeFile(at("file"), "content");
    const { bytes, canReadAgain } = await read(at("file"), "the key");
    expect(bytes.toString()).toBe("content");
    expect(canReadAgain).toBe(true);
  });

  it("reads a file behind a link", async () => {
    await writeFile(at("target"), "content");
    await symlink("target", at(`link-for-${read.name}`));
    const { bytes } = await read(at(`link-for-${read.name}`), "the key");
    expect(bytes.toString()).toBe("content");
  });

  it("reads a file whose size the system does not know", async () => {
    const { bytes } = await read("/proc/self/status", "the status");
    expect(bytes.toString()).toMatch(/^Name:/);
  });

  it("reads as much as is allowed and no more", async () => {
    await writeFile(at("largest"), "x".repeat(MAX_BYTES));
    expect((await read(at("largest"), "the key")).bytes).toHaveLength(MAX_BYTES);
    await writeFile(at("larger"), "x".repeat(MAX_BYTES + 1));
    await expect(read(at("larger"), "the key")).rejects.toThrow(
      new StartError(`${at("larger")}: the key cannot be read: it has more than 1048576 bytes`),
    );
  });

  it("names the path and the reason when it cannot read", async () => {
    await mkdir(at(`folder-for-${read.name}`));
    const reasonFor = async (path: string) =>
      read(path, "the key").catch((error: Error) => error.message);
    expect(await reasonFor(at("none"))).toBe(
      `${at("none")}: the key cannot be read: there is no such file`,
    );
    expect(await reasonFor(join(at("file"), "below"))).toMatch(/there is no such file$/);
    expect(await reasonFor(at(`folder-for-${read.name}`))).toMatch(/it is a directory$/);
  });

  it("does not show a secret that was given as the path", async () => {
    for (const secret of ["hunter2", "x".repeat(300), "a\0b"]) {
      const error: unknown = await read(secret, "the key").catch((cause: unknown) => cause);
      expect(error).toBeInstanceOf(StartError);
      expect(String(error)).toContain("(path not shown, as it may be a secret): the key");
      expect(String(error)).not.toContain(secret);
    }
  });
});

describe("readOnce", () => {
  it("waits until the writer of a pipe is done, and the pipe cannot be read again", async () => {
    const path = await makePipe("pipe");
    const reading = readOnce(path, "the key");
    const writer = await open(path, "w");
    await writer.write("con");
    await writer.write("tent");
    await writer.close();
    const { bytes, canReadAgain } = await reading;
    expect(bytes.toString()).toBe("content");
    expect(canReadAgain).toBe(false);
  });

  it("waits for many pipes without keeping other files from being read", async () => {
    const pipes = await Promise.all([1, 2, 3, 4, 5].map((each) => makePipe(`idle-${each}`)));
    const readings = pipes.map((path) => readOnce(path, "the key"));
    await writeFile(at("beside"), "content");
    expect((await readOnce(at("beside"), "the key")).bytes.toString()).toBe("content");
    for (const path of pipes) await (await open(path, "w")).close();
    expect((await Promise.all(readings)).map(({ bytes }) => bytes.length)).toEqual([0, 0, 0, 0, 0]);
  });

  it("refuses a pipe and a device that do not end", async () => {
    const path = await makePipe("endless");
    const reading = readOnce(path, "the key");
    const writer = await open(path, "w");
    const writing = writer.writeFile("x".repeat(MAX_BYTES + 1));
    await expect(reading).rejects.toThrow("it has more than 1048576 bytes");
    await writing.catch(() => {});
    await writer.close();
    await expect(readOnce("/dev/zero", "the key")).rejects.toThrow("more than 1048576 bytes");
  });
});

describe("readAgain", () => {
  it.each(["/dev/zero", "/dev/null"])("refuses %s, which is not a regular file", async (path) => {
    await expect(readAgain(path, "the key")).rejects.toThrow("it is not a regular file");
  });

  it("refuses a pipe without waiting for its writer", async () => {
    const path = await makePipe("again");
    await expect(readAgain(path, "the key")).rejects.toThrow("it is not a regular file");
  });
});
