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
  it("mints where the answer has an ID token for the audience", async () => {
    const user = { ...world.user, refreshToken: "1//other", idTokenAudience: AUDIENCE };
    world.endpoint.registerUser(user);
    const found = await readFrom(await world.write(userFile(user, world.endpoint)));
    expect(found).toMatchObject({ type: "authorized_user", principal: user.email });
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: user.email });
  });

  it("says what to use instead where it has one for the client, as Google's", async () => {
    const error = await mintFails(await readFrom(await world.write(world.files.authorizedUser)));
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(/give --impersonate with a service account/);
  });

  it("impersonates an account", async () => {
    const impersonate = { account: TARGET, delegates: [] };
    const path = await world.write(world.files.authorizedUser);
    const found = await readFrom(path, { env: world.env, impersonate });
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: TARGET });
  });

  it("that was revoked says how to log in again", async () => {
    const gone = { ...world.files.authorizedUser, refresh_token: "1//gone" };
    const error = await mintFails(await readFrom(await world.write(gone)));
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(/invalid_grant.*gcloud auth application-default login$/);
  });

  it("is anybody's while its file does not say whose", async () => {
    const nameless = { ...world.files.authorizedUser, account: "" };
    expect((await readFrom(await world.write(nameless))).principal).toBe("");
  });
});
