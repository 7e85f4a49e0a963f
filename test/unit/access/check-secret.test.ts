import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { openCheckSecret } from "../../../src/access/check-secret.ts";
import { StartError } from "../../../src/system/errors.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const silent = { secretChanged: () => {}, secretUnusable: () => {}, secretNotFollowed: () => {} };

async function open(path: string) {
  const secret = await openCheckSecret(path, createFakeClock(), silent);
  secret.close();
  return secret;
}

describe("the check secret", () => {
  it.each(["a", "two words", "with\r\n", "with\n", "x".repeat(1024)])(
    "is the content of its file, %j, without the last line break",
    async (content) => {
      await using folder = await makeTemporaryFolder();
      const path = join(folder.path, "secret");
      await writeFile(path, content);
      const { matches } = await open(path);
      const text = content.trimEnd();
      expect(matches(text)).toBe(true);
      for (const other of [
        undefined,
        "",
        `${text} `,
        `${text}\n`,
        text.toUpperCase(),
        text.slice(1),
      ]) {
        expect(matches(other)).toBe(false);
      }
    },
  );

  it.each([
    "",
    "\n",
    "hidden\nhidden\n",
    " hidden",
    "hidden ",
    "hiddén",
    "hidd\0en",
    "h".repeat(1025),
  ])("must not be %j; the error has the path and the rule only", async (content) => {
    await using folder = await makeTemporaryFolder();
    const path = join(folder.path, "secret");
    await writeFile(path, content);
    await expect(open(path)).rejects.toThrow(
      new StartError(
        `${path}: the check secret must be one line of 1 to 1024 printable ASCII characters`,
      ),
    );
  });

  it("follows its file; content that cannot be used is reported, and the old secret stays", async () => {
    await using folder = await makeTemporaryFolder();
    const path = join(folder.path, "secret");
    await writeFile(path, "first");
    const reported: string[] = [];
    const secret = await openCheckSecret(path, createFakeClock(), {
      ...silent,
      secretChanged: () => reported.push("changed"),
      secretUnusable: () => reported.push("unusable"),
    });
    await writeFile(path, "second");
    await secret.reload();
    expect([secret.matches("first"), secret.matches("second")]).toEqual([false, true]);
    await writeFile(path, "");
    await secret.reload();
    await secret.reload();
    expect(secret.matches("second")).toBe(true);
    await rm(path);
    await secret.reload();
    expect(secret.matches("second")).toBe(true);
    expect(reported).toEqual(["changed", "unusable", "unusable"]);
    secret.close();
  });

  it("is read once from a pipe, which is reported", async () => {
    await using folder = await makeTemporaryFolder();
    const path = join(folder.path, "secret");
    await promisify(execFile)("mkfifo", [path]);
    const notFollowed: string[] = [];
    const opening = openCheckSecret(path, createFakeClock(), {
      ...silent,
      secretNotFollowed: (each) => notFollowed.push(each),
    });
    await writeFile(path, "from the pipe\n");
    const secret = await opening;
    expect(secret.matches("from the pipe")).toBe(true);
    expect(notFollowed).toEqual([path]);
    await secret.reload();
    expect(secret.matches("from the pipe")).toBe(true);
    secret.close();
  });
});
