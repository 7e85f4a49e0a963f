import { writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createCredentials, TARGET, type Credentials } from "../../support/credential-files.ts";
import { mintFails, mintOnce, readFrom } from "../../support/mint-once.ts";

let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());
beforeEach(() => world.provider.setStatus(undefined));

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

describe("a subject token from a URL", () => {
  it("is the answer's text, or a field of its JSON", async () => {
    const { url, headers } = world.provider;
    const text = await withSource({ url: `${url}/text`, headers });
    expect(await mintOnce(text)).toMatchObject({ email: TARGET });
    const format = { type: "json", subject_token_field_name: "value" };
    const json = await withSource({ url: `${url}/token`, headers, format });
    expect(await mintOnce(json)).toMatchObject({ email: TARGET });
  });

  it("fails the mint if the answer lacks the field, and names it", async () => {
    const { url, headers } = world.provider;
    const error = await mintFails(
      await withSource({ url: `${url}/token`, headers, format: JSON_FORMAT }),
    );
    expect(error.code).toBe("mint_invalid_answer");
    expect(error.message).toBe(
      `the answer of ${url}/token: there is no subject token in it: its field "id", which ` +
        "credential_source.format names, is missing",
    );
  });
});

describe("AWS as the provider of the subject token", () => {
  const names = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
  const before = names.map((name) => [name, process.env[name]] as const);
  beforeEach(() => names.forEach((name) => delete process.env[name]));
  afterEach(() => {
    for (const [name, value] of before) if (value !== undefined) process.env[name] = value;
  });

  it("says what to set where there is no EC2 metadata, as in a task of ECS or Fargate", async () => {
    const nowhere = "http://127.0.0.1:2/latest";
    const source = world.files.federatedByAws["credential_source"] as Record<string, unknown>;
    const found = await readFrom(
      await world.write({
        ...world.files.federatedByAws,
        credential_source: {
          ...source,
          url: `${nowhere}/meta-data/iam/security-credentials`,
          region_url: `${nowhere}/meta-data/placement/availability-zone`,
          imdsv2_session_token_url: `${nowhere}/api/token`,
        },
      }),
    );
    const error = await mintFails(found);
    expect(error.code).toBe("mint_unavailable");
    expect(error.message).toBe(
      "no answer from 127.0.0.1:2: ECONNREFUSED: only EC2 instances have this server; elsewhere set " +
        "AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN: the role of an " +
        "ECS or Fargate task is not read",
    );
  });
});
