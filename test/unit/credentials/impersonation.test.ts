import { parseImpersonation } from "../../../src/credentials/impersonation.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  createCredentials,
  DELEGATE,
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
  it("mints for the account with an access token of the key", async () => {
    const found = await impersonating();
    expect(found).toMatchObject({ type: "service_account", principal: TARGET });
    expect(found.keyId).toMatch(/^[0-9a-f]{40}$/);
    expect(await mintOnce(found)).toMatchObject({ aud: AUDIENCE, email: TARGET });
    expect(world.apis.calls.at(-1)).toMatchObject({ caller: KEY_ACCOUNT, delegates: [] });
  });

  it("caches the access token between mints", async () => {
    const found = await impersonating();
    const before = world.endpoint.exchanges.length;
    await mintOnce(found);
    await mintOnce(found);
    expect(world.endpoint.exchanges.length - before).toBe(1);
  });

  it("obtains a new access token after one was refused", async () => {
    const found = await impersonating();
    await mintOnce(found);
    world.endpoint.accessTokens.revokeAll();
    const error = await mintFails(found);
    expect(error.code).toBe("mint_rejected");
    expect(error.message).toMatch(/refused: UNAUTHENTICATED/);
    expect(await mintOnce(found)).toMatchObject({ email: TARGET });
  });

  it("passes through the delegates in their order", async () => {
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

  it("names the role and the member to grant it to when it is refused", async () => {
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
  ])("answers %s %s %s with a remedy: %s", async (status, code, reason, remedy) => {
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

describe("parseImpersonation", () => {
  it("reads the account first, then its delegates in their order", () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => `${name}@p.iam.gserviceaccount.com`);
    expect(parseImpersonation(`${a}, ${b},${c}`)).toEqual({ account: a, delegates: [b, c] });
  });

  it.each([
    "",
    "me@example.com",
    `${TARGET},`,
    "@gserviceaccount.com",
    "a@evilgserviceaccount.com",
  ])("refuses %j", (text) =>
    expect(() => parseImpersonation(text)).toThrow(/must be ACCOUNT\[,DELEGATE…\]/),
  );
});
