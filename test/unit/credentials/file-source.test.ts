import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCredentials, TARGET, type Credentials } from "../../support/credential-files.ts";
import { mintFails, mintOnce, readFrom } from "../../support/mint-once.ts";

let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());

async function withSource(credential_source: Readonly<Record<string, unknown>>) {
  return readFrom(await world.write({ ...world.files.federatedByFile, credential_source }));
}

const JSON_FORMAT = { type: "json", subject_token_field_name: "id" };

describe("a subject token in a file", () => {
  it("is the file's text, or a field of its JSON", async () => {
    const token = await world.provider.subjectToken();
    const text = await world.write(`${token}\n`, "token.txt");
    expect(await mintOnce(await withSource({ file: text }))).toMatchObject({ email: TARGET });
    const json = await world.write({ id: token }, "token.json");
    const source = { file: json, format: JSON_FORMAT };
    expect(await mintOnce(await withSource(source))).toMatchObject({ email: TARGET });
  });

  it.each([
    [
      "is missing",
      undefined,
      {},
      "FILE: the subject token cannot be read: there is no such file: check credential_source.file, " +
        "and that what writes it is running",
    ],
    ["is empty", "\n", {}, "FILE: there is no subject token in it: it is empty"],
    [
      "is not JSON as it should be",
      "eyJ.secret",
      { format: JSON_FORMAT },
      "FILE: there is no subject token in it: it is not JSON, as credential_source.format says",
    ],
    [
      "lacks the field",
      '{"other":"secret"}',
      { format: JSON_FORMAT },
      'FILE: there is no subject token in it: its field "id", which credential_source.format ' +
        "names, is missing",
    ],
  ] as const)("fails the mint if it %s, and says what to do", async (_what, content, more, why) => {
    const file = await world.write("", "faulty");
    const path = content === undefined ? `${file}.none` : file;
    if (content !== undefined) await writeFile(path, content);
    const error = await mintFails(await withSource({ file: path, ...more }));
    expect(error.code).toBe("mint_unavailable");
    expect(error.message).toBe(why.replace("FILE", path));
  });

  it("does not show a token that was given as the file's name", async () => {
    const token = await world.provider.subjectToken();
    const error = await mintFails(await withSource({ file: token }));
    expect(error.message).toContain("(path not shown, as it may be a secret)");
    expect(error.message).not.toContain(token.slice(0, 12));
  });
});
