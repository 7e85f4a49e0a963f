import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createKeyAccess, createMinter } from "../../../src/credentials/service-account-mint.ts";
import { parseContent } from "../../../src/credentials/credential-content.ts";
import { parseServiceAccountKey } from "../../../src/credentials/service-account-key.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { createServiceAccount, type ServiceAccount } from "../../support/service-account.ts";
import { startTokenEndpoint, type TokenEndpoint } from "../../support/token-endpoint.ts";

const AUDIENCE = "https://service.example";
let endpoint: TokenEndpoint;
let account: ServiceAccount;

beforeAll(async () => {
  endpoint = await startTokenEndpoint();
  account = createServiceAccount({ tokenUri: endpoint.url });
  endpoint.register(account);
});
afterAll(() => endpoint?.[Symbol.asyncDispose]());

function keyOf(changes: Readonly<Record<string, unknown>> = {}) {
  const content = Buffer.from(JSON.stringify({ ...account.keyFile, ...changes }));
  return parseServiceAccountKey(parseContent(content, "key.json"));
}

describe("a service account's key", () => {
  it("mints an ID token for the audience", async () => {
    const mint = createMinter(keyOf(), systemClock);
    const { header } = await mint(AUDIENCE, AbortSignal.timeout(10_000));
    expect(decodeJwt(header.replace(/^Bearer /, ""))).toMatchObject({
      aud: AUDIENCE,
      email: account.clientEmail,
    });
  });

  it("obtains access tokens for Google's APIs", async () => {
    const obtain = createKeyAccess(keyOf(), systemClock);
    const { headers } = await obtain(AbortSignal.timeout(10_000));
    expect(headers["authorization"]).toMatch(/^Bearer \S+$/);
  });

  it("names itself in the assertion's header", async () => {
    await createMinter(keyOf(), systemClock)(AUDIENCE, AbortSignal.timeout(10_000));
    expect(endpoint.exchanges.at(-1)).toMatchObject({ keyId: account.keyId, outcome: "issued" });
  });

  it("leaves its name out of the assertion's header where its file has none", async () => {
    const key = keyOf({ private_key_id: undefined });
    await createMinter(key, systemClock)(AUDIENCE, AbortSignal.timeout(10_000));
    expect(endpoint.exchanges.at(-1)).toMatchObject({ keyId: undefined, outcome: "issued" });
  });

  it("sends one request, whatever the answer", async () => {
    const before = endpoint.exchanges.length;
    endpoint.setFault({ kind: "status", status: 503 });
    const mint = createMinter(keyOf(), systemClock);
    await expect(mint(AUDIENCE, AbortSignal.timeout(10_000))).rejects.toMatchObject({
      code: "mint_unavailable",
    });
    endpoint.setFault(undefined);
    expect(endpoint.exchanges).toHaveLength(before + 1);
  });
});
