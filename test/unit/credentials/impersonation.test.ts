import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createCredentials,
  DELEGATE,
  impersonationUrl,
  KEY_ACCOUNT,
  TARGET,
  type Credentials,
} from "../../support/credential-files.ts";
import { AUDIENCE, mintFails, mintOnce, readFrom } from "../../support/mint-once.ts";

let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());
beforeEach(() => world.apis.setFault("iam", undefined));

async function impersonating(account = TARGET, delegates: readonly string[] = []) {
  const options = { env: world.env, impersonate: { account, delegates } };
  return readFrom(await world.write(world.files.serviceAccount), options);
}

describe("--impersonate over a service-account key", () => {
  it("mints for the account, with an access token of the key's", async () => {
    const found = await impersonating();
    expect(found).toMatchObject({ type: "service_account", principal: TARGET });
    expect(found.keyId).toMatch(/^[0-9a-f]{40}$/);
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: TARGET });
    expect(world.apis.calls.at(-1)).toMatchObject({ caller: KEY_ACCOUNT, delegates: [] });
  });

  it("keeps the access token from mint to mint", async () => {
    const found = await impersonating();
    const before = world.endpoint.exchanges.length;
    await mintOnce(found);
    await mintOnce(found);
    expect(world.endpoint.exchanges.length - before).toBe(1);
  });

  it("begins again with a new one where it was refused", async () => {
    const found = await impersonating();
    await mintOnce(found);
    world.endpoint.accessTokens.revokeAll();
    const error = await mintFails(found);
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(/refused: UNAUTHENTICATED/);
    expect(await mintOnce(found)).toMatchObject({ email: TARGET });
  });

  it("goes through delegates in their order", async () => {
    const second = "second@test-project.iam.gserviceaccount.com";
    const last = "last@test-project.iam.gserviceaccount.com";
    world.apis.policy.grant(DELEGATE, KEY_ACCOUNT);
    world.apis.policy.grant(second, DELEGATE);
    world.apis.policy.grant(last, second);
    const claims = await mintOnce(await impersonating(last, [DELEGATE, second]));
    expect(claims).toMatchObject({ email: last });
    const error = await mintFails(await impersonating(last, [second, DELEGATE]));
    expect(error.message).toContain(
      `add-iam-policy-binding ${second} --role=roles/iam.serviceAccountTokenCreator`,
    );
    expect(error.message).toMatch(/the same role to each delegate on the next/);
  });

  it("is refused with the role to grant and to whom", async () => {
    const error = await mintFails(await impersonating("stranger@p.iam.gserviceaccount.com"));
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toContain(
      "gcloud iam service-accounts add-iam-policy-binding stranger@p.iam.gserviceaccount.com " +
        "--role=roles/iam.serviceAccountTokenCreator " +
        `--member="serviceAccount:${KEY_ACCOUNT}"`,
    );
  });

  it.each([
    [
      403,
      "PERMISSION_DENIED",
      "SERVICE_DISABLED",
      "gcloud services enable iamcredentials.googleapis.com",
    ],
    [403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "--scopes=cloud-platform"],
    [404, "NOT_FOUND", "", `gcloud iam service-accounts describe ${TARGET}`],
  ])("is refused with %s %s %s: the message says %s", async (status, code, reason, remedy) => {
    const body = { error: { code: status, status: code, message: "no", details: [{ reason }] } };
    world.apis.setFault("iam", { kind: "status", status, body });
    const error = await mintFails(await impersonating());
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toContain(remedy);
  });
});

describe("IAM Credentials' answer", () => {
  it.each([
    [{ kind: "status", status: 429, headers: { "retry-after": "7" } }, "mint_unavailable"],
    [{ kind: "status", status: 200, body: { token: 5 } }, "mint_invalid_answer"],
    [{ kind: "status", status: 200, body: [] }, "mint_invalid_answer"],
    [{ kind: "status", status: 307, headers: { location: "/" } }, "mint_invalid_answer"],
    [{ kind: "huge" }, "mint_invalid_answer"],
    [{ kind: "reset" }, "mint_unavailable"],
  ] as const)("%j is %s", async (fault, code) => {
    const found = await impersonating();
    world.apis.setFault("iam", fault);
    const error = await mintFails(found);
    expect(error.code).toBe(code);
    expect(error.retryAfterMs).toBe(
      "headers" in fault && "retry-after" in fault.headers ? 7000 : 0,
    );
  });
});

describe("an impersonated_service_account file", () => {
  it("mints for the account of its URL", async () => {
    const found = await readFrom(await world.write(world.files.impersonated));
    expect(found).toMatchObject({ type: "impersonated_service_account", principal: TARGET });
    expect(await mintOnce(found)).toMatchObject({ email: TARGET });
    expect(world.apis.calls.at(-1)).toMatchObject({ caller: world.user.email });
  });

  it("honours its delegates", async () => {
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

  it("may stand on another one", async () => {
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
