import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CheckFailure } from "../../../src/doctor/checklist.ts";
import { checkFile, checkKey } from "../../../src/doctor/credential-checks.ts";
import { StartError } from "../../../src/system/errors.ts";
import { createServiceAccount } from "../../support/service-account.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const parts = new AsyncDisposableStack();
const account = createServiceAccount({ tokenUri: "http://127.0.0.1:1/token" });
let folder = "";
beforeAll(async () => {
  folder = parts.use(await makeTemporaryFolder()).path;
});
afterAll(() => parts.disposeAsync());

const check = (path: string) => checkFile({ credentials: path, impersonate: undefined }, {});

describe("checkFile", () => {
  it.each([
    [0o600, "its owner only", false],
    [0o640, "its group", true],
    [0o604, "everyone", true],
  ])("of a file with mode %o says that %s can read it", async (mode, readers, isWarning) => {
    const path = join(folder, "my key.json");
    await account.writeTo(path);
    await chmod(path, mode);
    const { message, remedy, facts } = await check(path);
    const shown = mode.toString(8).padStart(4, "0");
    expect(message).toBe(`${path} can be read by ${readers} (mode ${shown})`);
    expect(remedy).toBe(isWarning ? `chmod 600 '${path}'` : undefined);
    expect(facts).toEqual({ path, mode: shown });
  });

  it("fails for a missing file, and says how to name another", async () => {
    const failure: unknown = await check(join(folder, "none.json")).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(CheckFailure);
    expect(failure).toMatchObject({
      message: expect.stringContaining("none.json"),
      remedy: expect.stringMatching(/^name a credential file that user \d+ can read: /),
    });
  });

  it("fails on one line if there is no credential, with where it looked and one remedy", async () => {
    const env = { HOME: folder, METADATA_SERVER_DETECTION: "none" };
    const checking = checkFile({ credentials: undefined, impersonate: undefined }, env);
    await expect(checking).rejects.toMatchObject({
      message: expect.stringMatching(/^no credential was found \(.*: not given; .*; .* is none\)$/),
      remedy: expect.stringMatching(/^give --credentials .*gcloud auth application-default login/),
    });
  });
});

describe("checkKey", () => {
  it("names type, principal and key ID", async () => {
    const path = join(folder, "good.json");
    await account.writeTo(path);
    const { message, facts } = await checkKey((await check(path)).value);
    const { clientEmail: principal, keyId } = account;
    expect(message).toBe(`service_account ${principal}, key ID ${keyId}`);
    expect(facts).toEqual({ type: "service_account", principal, keyId });
  });

  it("fails for content that is not a credential, and says how to create a key", async () => {
    const path = join(folder, "bad.json");
    await writeFile(path, "{}", { mode: 0o600 });
    const file = (await check(path)).value;
    await expect(checkKey(file)).rejects.toThrow(CheckFailure);
    await expect(checkKey(file)).rejects.toMatchObject({
      remedy: expect.stringContaining("gcloud iam service-accounts keys create FILE"),
    });
  });

  it("puts an error of several lines on one", async () => {
    const parse = () => {
      throw new StartError("one\n  two");
    };
    await expect(checkKey({ file: undefined, initial: parse, parse })).rejects.toThrow(
      /^one; two$/,
    );
  });
});
