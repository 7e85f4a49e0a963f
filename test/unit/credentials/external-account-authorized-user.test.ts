import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCredentials, TARGET, type Credentials } from "../../support/credential-files.ts";
import { AUDIENCE, mintFails, mintOnce, readFrom } from "../../support/mint-once.ts";
import { createWorkforceUser, type WorkforceUser } from "../../support/workforce-user.ts";

const POOL = "//iam.googleapis.com/locations/global/workforcePools/staff/providers/login";
const PRINCIPAL = "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/me";
let world: Credentials;
let user: WorkforceUser;

beforeAll(async () => {
  world = await createCredentials();
  user = createWorkforceUser(PRINCIPAL);
  world.apis.registerWorkforceUser(user);
  world.apis.policy.grant(TARGET, PRINCIPAL);
});
afterAll(() => world?.[Symbol.asyncDispose]());

async function impersonating(account = TARGET, changes: Readonly<Record<string, unknown>> = {}) {
  const path = await world.write({
    type: "external_account_authorized_user",
    audience: POOL,
    client_id: user.clientId,
    client_secret: user.clientSecret,
    refresh_token: user.refreshToken,
    token_url: `${world.apis.url}/v1/oauthtoken`,
    token_info_url: `${world.apis.url}/v1/introspect`,
    ...changes,
  });
  return readFrom(path, { env: world.env, impersonate: { account, delegates: [] } });
}

describe("a user of a workforce pool", () => {
  it("mints for the account that --impersonate names", async () => {
    const found = await impersonating();
    expect(found).toMatchObject({ type: "external_account_authorized_user", principal: TARGET });
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: TARGET });
    expect(world.apis.calls.at(-1)).toMatchObject({ caller: PRINCIPAL });
  });

  it("goes on with the refresh token that replaces the first one", async () => {
    const found = await impersonating();
    await mintOnce(found);
    world.endpoint.accessTokens.revokeAll();
    await mintFails(found);
    expect(await mintOnce(found)).toMatchObject({ email: TARGET });
  });

  it("is told how to log in again when the refresh token is not valid any more", async () => {
    const error = await mintFails(await impersonating(TARGET, { refresh_token: "gone" }));
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(
      /^Google's STS refused: invalid_grant .*: log in again: gcloud auth application-default login$/,
    );
  });

  it("is told which role to grant to whom", async () => {
    const error = await mintFails(await impersonating("stranger@p.iam.gserviceaccount.com"));
    expect(error.message).toContain(
      "--role=roles/iam.serviceAccountTokenCreator " +
        '--member="principalSet://iam.googleapis.com/locations/global/workforcePools/staff/*"',
    );
  });
});
