import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCredentials,
  TARGET,
  userFile,
  type Credentials,
} from "../../support/credential-files.ts";
import { AUDIENCE, mintFails, mintOnce, readFrom } from "../../support/mint-once.ts";

let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());

describe("a user's credential", () => {
  it("mints if the answer has an ID token for the audience", async () => {
    const user = { ...world.user, refreshToken: "1//other", idTokenAudience: AUDIENCE };
    world.endpoint.registerUser(user);
    const found = await readFrom(await world.write(userFile(user, world.endpoint)));
    expect(found).toMatchObject({ type: "authorized_user", principal: user.email });
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: user.email });
  });

  it("suggests --impersonate if the ID token is for the client, as Google's are", async () => {
    const error = await mintFails(await readFrom(await world.write(world.files.authorizedUser)));
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(/give --impersonate with a service account/);
  });

  it("impersonates the account that --impersonate names", async () => {
    const impersonate = { account: TARGET, delegates: [] };
    const path = await world.write(world.files.authorizedUser);
    const found = await readFrom(path, { env: world.env, impersonate });
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: TARGET });
  });

  it("says how to log in again after it was revoked", async () => {
    const gone = { ...world.files.authorizedUser, refresh_token: "1//gone" };
    const error = await mintFails(await readFrom(await world.write(gone)));
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(/invalid_grant.*gcloud auth application-default login$/);
  });

  it("has no principal if its file does not name the user", async () => {
    const nameless = { ...world.files.authorizedUser, account: "" };
    expect((await readFrom(await world.write(nameless))).principal).toBe("");
  });
});
