import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CredentialOptions } from "../../../src/credentials/credential-file.ts";
import { createCredentials, TARGET, type Credentials } from "../../support/credential-files.ts";
import { FEDERATED_PRINCIPAL } from "../../support/identity-provider.ts";
import { AUDIENCE, mintFails, mintOnce, readFrom } from "../../support/mint-once.ts";

let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());
beforeEach(() => {
  world.apis.setFault("sts", undefined);
  world.apis.setFault("iam", undefined);
  world.provider.setStatus(undefined);
});

async function credential(
  changes: Record<string, unknown> = {},
  options: Partial<CredentialOptions> = {},
) {
  const path = await world.write({ ...world.files.federatedByFile, ...changes });
  return readFrom(path, options);
}

describe("workload identity federation", () => {
  it.each([
    "federatedByFile",
    "federatedByUrl",
    "federatedByAws",
    "federatedByExecutable",
  ] as const)("mints for the account of its impersonation URL: %s", async (file) => {
    const found = await readFrom(await world.write(world.files[file]), { env: world.env });
    expect(found).toMatchObject({ type: "external_account", principal: TARGET, keyId: "" });
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: TARGET });
    expect(world.apis.calls.at(-1)).toMatchObject({
      method: "generateIdToken",
      caller: FEDERATED_PRINCIPAL,
      delegates: [],
    });
  });

  it("exchanges one subject token for many concurrent mints", async () => {
    const found = await credential();
    const before = world.apis.exchanges.length;
    await Promise.all(Array.from({ length: 20 }, () => mintOnce(found)));
    await mintOnce(found);
    expect(world.apis.exchanges.length - before).toBe(1);
  });

  it("exchanges again for a mint that waited for another one, which ran out of time", async () => {
    const found = await credential();
    const first = new AbortController();
    world.apis.setFault("sts", { kind: "hang" }, 1);
    const exchange = world.apis.nextExchange();
    const failed = mintFails(found, first.signal);
    const second = mintOnce(found);
    await exchange;
    first.abort();
    expect((await failed).code).toBe("mint_unavailable");
    expect(await second).toMatchObject({ email: TARGET });
  });

  it("impersonates another account through its own", async () => {
    const other = "other@test-project.iam.gserviceaccount.com";
    world.apis.policy.grant(other, TARGET);
    const options = { env: world.env, impersonate: { account: other, delegates: [] } };
    expect(await mintOnce(await credential({}, options))).toMatchObject({ email: other });
    expect(world.apis.calls.slice(-2)).toMatchObject([
      { method: "generateAccessToken", account: TARGET, caller: FEDERATED_PRINCIPAL },
      { method: "generateIdToken", account: other, caller: TARGET },
    ]);
  });

  it("is refused without an account to impersonate", async () => {
    const without = { service_account_impersonation_url: undefined };
    await expect(credential(without)).rejects.toThrow(/add a service_account_impersonation_url/);
    const impersonate = { account: TARGET, delegates: [] };
    const found = await credential(without, { env: world.env, impersonate });
    expect(await mintOnce(found)).toMatchObject({ email: TARGET });
  });
});

describe("a refused federated mint", () => {
  it("names the provider to check if the STS refused", async () => {
    await writeFile(world.subjectTokenFile, "no token");
    const error = await mintFails(await credential());
    await writeFile(world.subjectTokenFile, await world.provider.subjectToken());
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(/^Google's STS refused: invalid_grant/);
    expect(error.message).toContain(
      "gcloud iam workload-identity-pools providers describe oidc --workload-identity-pool=pool --location=global --project=123456",
    );
  });

  it("names the role and the member to grant it to if IAM refused", async () => {
    world.apis.policy.revoke(TARGET, FEDERATED_PRINCIPAL);
    const error = await mintFails(await credential());
    world.apis.policy.grant(TARGET, FEDERATED_PRINCIPAL);
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toContain(
      `gcloud iam service-accounts add-iam-policy-binding ${TARGET} ` +
        "--role=roles/iam.workloadIdentityUser --member=" +
        '"principalSet://iam.googleapis.com/projects/123456/locations/global/workloadIdentityPools/pool/*"',
    );
  });

  it("names the identity provider if that refused, after one request", async () => {
    const { url, requests } = world.provider;
    const found = await readFrom(await world.write(world.files.federatedByUrl));
    const before = requests.length;
    world.provider.setStatus(503);
    const error = await mintFails(found);
    expect(error.code).toBe("mint_unavailable");
    expect(error.message).toBe(`the identity provider at ${new URL(url).host} answered 503`);
    expect(requests.length - before).toBe(1);
  });
});

describe("the STS's answer", () => {
  it.each([
    [{ kind: "html" }, "mint_invalid_answer"],
    [{ kind: "huge" }, "mint_invalid_answer"],
    [{ kind: "reset" }, "mint_unavailable"],
    [{ kind: "status", status: 500 }, "mint_unavailable"],
    [{ kind: "status", status: 302, headers: { location: "/v1/token" } }, "mint_invalid_answer"],
    [
      { kind: "status", status: 200, body: { access_token: "a b", expires_in: 9 } },
      "mint_invalid_answer",
    ],
    [{ kind: "status", status: 200, body: { access_token: "a" } }, "mint_invalid_answer"],
    [{ kind: "echo" }, "mint_rejected"],
  ] as const)("%j fails the mint with %s after one request", async (fault, code) => {
    const found = await credential();
    const before = world.apis.exchanges.length;
    world.apis.setFault("sts", fault);
    const error = await mintFails(found);
    expect(error.code).toBe(code);
    expect(error.message).not.toMatch(/eyJ/);
    expect(world.apis.exchanges.length - before).toBe(1);
  });
});
