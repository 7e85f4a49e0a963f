import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createCredentials, type Credentials } from "../../support/credential-files.ts";
import { mintFails, readFrom } from "../../support/mint-once.ts";

let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());

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
