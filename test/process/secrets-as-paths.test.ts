import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runMain } from "../support/server-process.ts";
import { createServiceAccount } from "../support/service-account.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const account = createServiceAccount({ tokenUri: "http://127.0.0.1:1/token" });
const json = JSON.stringify(account.keyFile, null, 2);
const pem = account.keyFile["private_key"] ?? "";
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** What people put into a variable that should have a path; see src/system/show.ts. */
const SECRETS: Readonly<Record<string, string>> = {
  "JSON in single quotes": `'${JSON.stringify(account.keyFile)}'`,
  "JSON encoded twice": JSON.stringify(json),
  base64: base64(json),
  "base64 in quotes and lines": `"${base64(json).replaceAll(/.{64}/g, "$&\n")}"`,
  PEM: pem,
  "a random secret": randomBytes(32).toString("base64"),
};

let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
let keyFile = "";
beforeAll(async () => {
  folder = await makeTemporaryFolder();
  keyFile = join(folder.path, "key.json");
  await account.writeTo(keyFile);
});
afterAll(() => folder?.[Symbol.asyncDispose]());

/** Whether a text contains 12 consecutive characters of the secret, which is no coincidence. */
function holdsPartOf(text: string, secret: string): boolean {
  const pieces = secret.split(/\s+/).flatMap((part) => part.match(/.{12}/g) ?? []);
  return pieces.some((piece) => text.includes(piece));
}

describe.each(Object.keys(SECRETS))("a secret given as a path, %s,", (kind) => {
  const secret = SECRETS[kind] ?? "";
  const DOCTOR = ["doctor", "--audience=https://a.run.app"];

  it.each([
    ["serve, as its credential", () => runMain([], { GOOGLE_APPLICATION_CREDENTIALS: secret })],
    [
      "serve, as its check secret",
      () => runMain([`--credentials=${keyFile}`], { CHECK_SECRET_FILE: secret }),
    ],
    ["doctor, as its credential", () => runMain([...DOCTOR, `--credentials=${secret}`])],
  ])("is not printed by %s", async (_what, run) => {
    const { code, stdout, stderr } = await run();
    expect([1, 2]).toContain(code);
    expect(stdout + stderr).toContain("not shown");
    expect(holdsPartOf(stdout + stderr, secret)).toBe(false);
  });
});
