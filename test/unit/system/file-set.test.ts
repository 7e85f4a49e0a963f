import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { StartError } from "../../../src/system/errors.ts";
import { replaceFiles, writeNewFiles } from "../../../src/system/file-set.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const FILES = [
  { name: "a.crt", text: "certificate", mode: 0o644 },
  { name: "a.key", text: "key", mode: 0o600 },
];

describe("writeNewFiles", () => {
  it("writes all files with their modes, and the folder", async () => {
    await using folder = await makeTemporaryFolder();
    const path = join(folder.path, "new/folder");
    await writeNewFiles(path, FILES);
    expect(await readFile(join(path, "a.crt"), "utf8")).toBe("certificate");
    expect((await stat(join(path, "a.key"))).mode & 0o777).toBe(0o600);
  });

  it("writes none if one exists, even as a dangling link, and names all that do", async () => {
    await using folder = await makeTemporaryFolder();
    await symlink("/no/such/file", join(folder.path, "a.key"));
    await expect(writeNewFiles(folder.path, FILES)).rejects.toThrow(
      new StartError(`nothing written, because these files exist: ${join(folder.path, "a.key")}`),
    );
    expect(await readdir(folder.path)).toEqual(["a.key"]);
  });

  it("removes what it wrote if it cannot write all", async () => {
    await using folder = await makeTemporaryFolder();
    const files = [...FILES, { name: "no/such/folder", text: "", mode: 0o600 }];
    await expect(writeNewFiles(folder.path, files)).rejects.toThrow("nothing written: ");
    expect(await readdir(folder.path)).toEqual([]);
  });
});

describe("replaceFiles", () => {
  it("replaces the files and leaves nothing else", async () => {
    await using folder = await makeTemporaryFolder();
    await writeFile(join(folder.path, "a.crt"), "old");
    await replaceFiles(folder.path, FILES);
    expect(await readFile(join(folder.path, "a.crt"), "utf8")).toBe("certificate");
    expect(new Set(await readdir(folder.path))).toEqual(new Set(["a.crt", "a.key"]));
  });

  it("leaves nothing beside what it could not replace", async () => {
    await using folder = await makeTemporaryFolder();
    await mkdir(join(folder.path, "a.key/full"), { recursive: true });
    await expect(replaceFiles(folder.path, FILES)).rejects.toThrow("rename");
    expect(new Set(await readdir(folder.path))).toEqual(new Set(["a.crt", "a.key"]));
  });
});
