import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCredentials,
  DELEGATE,
  impersonationUrl,
  KEY_ACCOUNT,
  TARGET,
  type Credentials,
} from "../../support/credential-files.ts";
import { mintOnce, readFrom } from "../../support/mint-once.ts";

let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());

describe("an impersonated_service_account file", () => {
  it("mints for the account of its URL", async () => {
    const found = await readFrom(await world.write(world.files.impersonated));
    expect(found).toMatchObject({ type: "impersonated_service_account", principal: TARGET });
    expect(await mintOnce(found)).toMatchObject({ email: TARGET });
    expect(world.apis.calls.at(-1)).toMatchObject({ caller: world.user.email });
  });

  it("passes through its delegates", async () => {
    world.apis.policy.grant(DELEGATE, KEY_ACCOUNT);
    world.apis.policy.grant(TARGET, DELEGATE);
    const delegates = [`projects/-/serviceAccounts/${DELEGATE}`];
    const source_credentials = world.files.serviceAccount;
    const file = { ...world.files.impersonated, delegates, source_credentials };
    expect(await mintOnce(await readFrom(await world.write(file)))).toMatchObject({
      email: TARGET,
    });
    expect(world.apis.calls.at(-1)).toMatchObject({ caller: KEY_ACCOUNT, delegates: [DELEGATE] });
  });

  it("can impersonate through another such file", async () => {
    const other = "other@test-project.iam.gserviceaccount.com";
    world.apis.policy.grant(other, TARGET);
    const url = impersonationUrl(world.apis, other);
    const file = {
      ...world.files.impersonated,
      service_account_impersonation_url: url,
      source_credentials: world.files.impersonated,
    };
    expect(await mintOnce(await readFrom(await world.write(file)))).toMatchObject({ email: other });
  });
});
