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
