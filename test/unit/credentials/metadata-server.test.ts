import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/system/clock.ts";
import type { Impersonation } from "../../../src/credentials/impersonation.ts";
import { findCredential } from "../../../src/credentials/application-default.ts";
import {
  createCredentials,
  MACHINE_ACCOUNT,
  TARGET,
  type Credentials,
} from "../../support/credential-files.ts";
import { AUDIENCE, mintFails, mintOnce } from "../../support/mint-once.ts";
import { startServer } from "../../support/server-process.ts";

let world: Credentials;
let env: Record<string, string> = {};

beforeAll(async () => {
  world = await createCredentials();
  env = { ...world.env, HOME: "/no/such/home", GCE_METADATA_HOST: world.metadata.host };
});
afterAll(() => world?.[Symbol.asyncDispose]());
beforeEach(() => {
  world.metadata.setFault(undefined);
  world.metadata.setAccount(MACHINE_ACCOUNT);
});

async function find(impersonate?: Impersonation) {
  const place = await findCredential(undefined, systemClock, { env, impersonate });
  return place.initial();
}

describe("the metadata server", () => {
  it("names its account and mints for an audience that must be encoded", async () => {
    const found = await find();
    expect(found).toMatchObject({ type: "metadata_server", principal: MACHINE_ACCOUNT, keyId: "" });
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: MACHINE_ACCOUNT });
    expect(world.metadata.requests).toContainEqual({ path: "identity", audience: AUDIENCE });
  });

  it("impersonates the account that --impersonate names", async () => {
    const found = await find({ account: TARGET, delegates: [] });
    expect(found).toMatchObject({ type: "metadata_server", principal: TARGET });
    expect(await mintOnce(found)).toMatchObject({ email: TARGET });
    expect(world.apis.calls.at(-1)).toMatchObject({ caller: MACHINE_ACCOUNT });
  });

  it("refuses and says how to attach an account if the machine has none", async () => {
    world.metadata.setAccount(undefined);
    const found = await find();
    const error = await mintFails(found);
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(/has no account \(404\): attach a service account/);
    expect(error.message).toContain("roles/iam.workloadIdentityUser");
    world.metadata.setAccount(MACHINE_ACCOUNT);
    await mintOnce(found);
    expect(found.principal).toBe(MACHINE_ACCOUNT);
  });

  it("mints even if it does not name the account", async () => {
    const found = await find();
    world.metadata.setFault("email_hangs");
    expect(await mintOnce(found)).toMatchObject({ email: MACHINE_ACCOUNT });
  });

  it("is not trusted without the Metadata-Flavor header", async () => {
    world.metadata.setFault("captive_portal");
    const error = await mintFails(await find());
    expect(error.code).toBe("mint_invalid_answer");
    expect(error.message).toMatch(/answered without Metadata-Flavor: Google/);
  });

  it("is unavailable when it answers 503", async () => {
    const found = await find();
    world.metadata.setFault(503);
    expect((await mintFails(found)).code).toBe("mint_unavailable");
  });
});

describe("serve on a metadata server", () => {
  it("starts if there is none, and reports why there is no token", async () => {
    const audience = "--audience=https://service.example";
    const absent = { ...env, GCE_METADATA_HOST: "127.0.0.1:2" };
    await using server = await startServer([audience], absent);
    const failed = await server.event("mint_failed");
    expect(failed).toMatchObject({ err: { code: "mint_unavailable" } });
    const ready = await fetch(`${server.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toMatch(
      /no answer from 127.0.0.1:2: ECONNREFUSED: only machines on Google Cloud have a metadata server/,
    );
  });

  it("starts without the account's name if it is slow, and learns the name with the first token", async () => {
    world.metadata.setFault("hang");
    const args = ["--audience=https://service.example", "--mint-timeout=200ms"];
    await using server = await startServer(args, env);
    expect(server.lines()).toContainEqual(
      expect.objectContaining({ event: "listening", type: "metadata_server", principal: "" }),
    );
    world.metadata.setFault(undefined);
    await server.event("minted");
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain(
      `idtoken_authz_credential_info{type="metadata_server",principal="${MACHINE_ACCOUNT}",key_id=""} 1`,
    );
  });

  it("does not use the proxy of other requests", async () => {
    const proxied = { ...env, HTTP_PROXY: "http://127.0.0.1:1", http_proxy: "http://127.0.0.1:1" };
    await using server = await startServer(["--audience=https://service.example"], proxied);
    const minted = await server.event("minted");
    expect(minted).toMatchObject({ audience: "https://service.example" });
  });
});
