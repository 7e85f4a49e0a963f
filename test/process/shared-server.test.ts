import { credentials as grpc } from "@grpc/grpc-js";
import { decodeJwt } from "jose";
import { once } from "node:events";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "../../src/envoy/certificates.ts";
import type { CheckResponse } from "../../src/grpc/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { createAuthorizationClient, type Outcome } from "../support/authorization-client.ts";
import { createCredentials, KEY_ACCOUNT, type Credentials } from "../support/credential-files.ts";
import { createServiceAccount } from "../support/service-account.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { createSharedFiles, type SharedFiles } from "../support/shared-files.ts";

const ORDERS = "https://orders-abc123-ew.a.run.app";
const STOCK = "https://stock-abc123-ew.a.run.app";
const [WEB, CART, PLAIN, GATEWAY] = ["web", "cart", "plain", "gateway"].map(
  (name) => `spiffe://cluster.local/ns/shop/sa/${name}`,
) as [string, string, string, string];
const [WEB_ACCOUNT, CART_ACCOUNT] = ["shop-web", "shop-cart"].map(
  (name) => `${name}@test-project.iam.gserviceaccount.com`,
) as [string, string];

const parts = new AsyncDisposableStack();
let world: Credentials;
let files: SharedFiles;
let stranger: CertificateAuthority;
let credentials = "";

beforeAll(async () => {
  world = parts.use(await createCredentials());
  files = parts.use(await createSharedFiles());
  credentials = await world.write(world.files.serviceAccount);
  for (const account of [WEB_ACCOUNT, CART_ACCOUNT]) world.apis.policy.grant(account, KEY_ACCOUNT);
  stranger = await createCertificateAuthority("another CA");
});
afterEach(() => world.endpoint.resume());
afterAll(() => parts.disposeAsync());

const POLICY = `
callers:
  - client: ${WEB}
    audiences: [${ORDERS}]
    impersonate: ${WEB_ACCOUNT}
  - principal: ${CART}
    audiences: [${ORDERS}, ${STOCK}]
    impersonate: ${CART_ACCOUNT}
  - client: ${PLAIN}
    audiences: ["https://*.a.run.app"]
principals_from: [${GATEWAY}]
`;

/** Starts a server with this policy. */
async function start(policy = POLICY, credentialFile = credentials): Promise<ServerProcess> {
  await files.writePolicy(policy);
  const flags = [`--credentials=${credentialFile}`, "--admin-listen=127.0.0.1:0"];
  return startServer([...files.flags, ...flags], world.env);
}

/** The account of the token that a gRPC check was answered with. */
function accountOfToken(outcome: Outcome<CheckResponse>): unknown {
  const answer = "response" in outcome ? outcome.response.httpResponse : undefined;
  const header = answer?.case === "okResponse" ? answer.value.headers[0]?.header : undefined;
  return decodeJwt(header?.value.replace("Bearer ", "") ?? "")["email"];
}

interface Client extends Disposable {
  /** One check: the account and audience of the token, or the status and error. */
  readonly check: (headers?: Readonly<Record<string, string>>) => Promise<unknown>;
}

/** A client with a certificate of this name. */
async function connectAs(
  uri: string,
  { address }: ServerProcess,
  options: { readonly by?: CertificateAuthority; readonly keepAlive?: boolean } = {},
): Promise<Client> {
  const { by = files.authority, keepAlive = true } = options;
  const identity = await files.issue(uri, by);
  const ca = files.authority.certificatePem;
  const agent = new Agent({ ...identity, ca, keepAlive, maxSockets: 1 });

  async function check(headers: Readonly<Record<string, string>> = {}): Promise<unknown> {
    const sent = request(`https://${address}/check`, { agent, headers }).end();
    const [response] = await once(sent, "response");
    const body = await text(response);
    const token = String(response.headers.authorization ?? "").replace("Bearer ", "");
    if (token === "") return `${response.statusCode} ${body}`;
    const { email, aud } = decodeJwt(token);
    return `${String(email)} ${String(aud)}`;
  }

  return { check, [Symbol.dispose]: () => agent.destroy() };
}

async function metricsOf(server: ServerProcess): Promise<string> {
  const { adminListen } = await server.line(({ event }) => event === "listening");
  return (await fetch(`http://${String(adminListen)}/metrics`)).text();
}

const DENIED = '403 {"error":"caller_not_allowed"}';

describe("a shared server", () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = parts.use(await start());
  });

  it("gives each caller a token of its own account", async () => {
    using web = await connectAs(WEB, server);
    using plain = await connectAs(PLAIN, server);
    expect(await web.check()).toBe(`${WEB_ACCOUNT} ${ORDERS}`);
    const named = { "x-id-token-audience": ORDERS };
    expect(await plain.check(named)).toBe(`${KEY_ACCOUNT} ${ORDERS}`);
  });

  it("believes a principal that a trusted client attests, and no other client", async () => {
    using gateway = await connectAs(GATEWAY, server);
    using web = await connectAs(WEB, server);
    const attested = { "x-authz-principal": CART };
    expect(await gateway.check(attested)).toBe(`${CART_ACCOUNT} ${ORDERS}`);
    expect(await web.check(attested)).toBe(`${WEB_ACCOUNT} ${ORDERS}`);
    expect(await gateway.check({ "x-authz-principal": "spiffe://evil" })).toBe(DENIED);
    expect(await gateway.check()).toBe(DENIED);
  });

  it("does the same over gRPC, where the principal is Envoy's attribute", async () => {
    const { cert, key } = await files.issue(GATEWAY);
    const ca = Buffer.from(files.authority.certificatePem);
    const channel = grpc.createSsl(ca, Buffer.from(key), Buffer.from(cert));
    using client = createAuthorizationClient(server.address, channel);
    const attributes = { source: { principal: CART } };
    const checked = await client.check({ attributes });
    expect(accountOfToken(checked)).toBe(CART_ACCOUNT);
    const denied = await client.check({ attributes: { source: { principal: WEB } } });
    expect(denied).toMatchObject({ response: { status: { message: "caller_not_allowed" } } });
  });

  it("denies what the policy does not grant, with a line for the audit and a count", async () => {
    using web = await connectAs(WEB, server);
    using unknown = await connectAs("spiffe://cluster.local/ns/other/sa/x", server);
    const named = { "x-id-token-audience": STOCK };
    expect(await web.check(named)).toBe('403 {"error":"audience_not_allowed"}');
    expect(await unknown.check()).toBe(DENIED);
    const line = await server.line(({ event, audience }) => {
      return event === "check_denied" && audience === STOCK;
    });
    expect(line).toMatchObject({ code: "audience_not_allowed", caller: WEB, level: "info" });
    const metrics = await metricsOf(server);
    const label = `caller="${WEB}",outcome="audience_not_allowed"`;
    expect(metrics).toContain(`idtoken_authz_caller_checks_total{${label}} 1`);
    expect(metrics).toMatch(/^idtoken_authz_tls_certificate_expiry_timestamp_seconds 1\d{9}$/m);
  });

  it("logs of what a denied caller names only the beginning", async () => {
    using web = await connectAs(WEB, server);
    const audience = `https://${"a".repeat(20_000)}.a.run.app`;
    expect(await web.check({ "x-id-token-audience": audience })).toMatch(/^403 /);
    const line = await server.line((each) => String(each["audience"]).startsWith("https://aaaa"));
    expect(String(line["audience"]).length).toBeLessThan(300);
  });

  it("mints for one caller while another's flood waits for Google", async () => {
    using gateway = await connectAs(GATEWAY, server);
    const attested = { "x-authz-principal": CART };
    await gateway.check(attested);
    const clients = await Promise.all(Array.from({ length: 10 }, () => connectAs(PLAIN, server)));
    const before = world.endpoint.exchanges.length;
    const exchanges = () => world.endpoint.exchanges.length - before;
    world.endpoint.pause();
    const flood = clients.map(({ check }, index) => {
      return check({ "x-id-token-audience": `https://flood-${index}.a.run.app` });
    });
    await expect.poll(exchanges).toBeGreaterThanOrEqual(2);
    const stock = { ...attested, "x-id-token-audience": STOCK };
    expect(await gateway.check(stock)).toBe(`${CART_ACCOUNT} ${STOCK}`);
    expect(exchanges()).toBe(2);
    world.endpoint.resume();
    expect(await Promise.all(flood)).toEqual(
      clients.map((_, index) => `${KEY_ACCOUNT} https://flood-${index}.a.run.app`),
    );
    for (const client of clients) client[Symbol.dispose]();
  });

  it("ends a connection without a certificate of its authorities in the handshake", async () => {
    using wrong = await connectAs(WEB, server, { by: stranger });
    await expect(wrong.check()).rejects.toThrow(/alert|ECONNRESET|hang up/);
    await expect(fetch(`http://${server.address}/check`)).rejects.toThrow("fetch failed");
    const refused = /^idtoken_authz_tls_handshakes_refused_total [2-9]$/m;
    await expect.poll(() => metricsOf(server)).toMatch(refused);
  });
});

describe("a policy that changes", () => {
  it("counts for open connections, too; one that is not valid changes nothing", async () => {
    await using server = await start();
    using web = await connectAs(WEB, server);
    expect(await web.check()).toBe(`${WEB_ACCOUNT} ${ORDERS}`);
    await files.writePolicy("callers: []\n");
    server.signal("SIGHUP");
    const rejected = await server.line(({ event }) => event === "policy_rejected");
    expect(JSON.stringify(rejected)).toContain("policy.yaml:1: callers: must be a list");
    expect(await web.check()).toBe(`${WEB_ACCOUNT} ${ORDERS}`);
    await files.writePolicy(POLICY.replace(WEB, "spiffe://cluster.local/ns/shop/sa/other"));
    server.signal("SIGHUP");
    await server.line(({ event }) => event === "policy_changed");
    expect(await web.check()).toBe(DENIED);
  });

  it("is reported if it names an account that cannot be impersonated; other callers do not notice", async () => {
    const locked = (name: string) => `${name}@test-project.iam.gserviceaccount.com`;
    await using server = await start(POLICY.replace(WEB_ACCOUNT, locked("locked")));
    const rejected = (account: string) =>
      server.line((line) => line.event === "account_rejected" && line["account"] === account);
    const grant = expect.stringContaining(
      `add-iam-policy-binding ${locked("locked")} --role=roles/iam.serviceAccountTokenCreator`,
    );
    expect(await rejected(locked("locked"))).toMatchObject({
      level: "error",
      err: { code: "mint_rejected", message: grant },
    });
    using web = await connectAs(WEB, server);
    using gateway = await connectAs(GATEWAY, server);
    expect(await web.check()).toBe('503 {"error":"mint_rejected"}');
    const attested = { "x-authz-principal": CART };
    expect(await gateway.check(attested)).toBe(`${CART_ACCOUNT} ${ORDERS}`);
    await files.writePolicy(POLICY.replace(WEB_ACCOUNT, locked("other")));
    server.signal("SIGHUP");
    await rejected(locked("other"));
  });

  it("is checked again with another credential", async () => {
    const first = await world.write(world.files.serviceAccount, "first.json");
    await using server = await start(POLICY, first);
    const account = createServiceAccount({ tokenUri: world.endpoint.url, clientEmail: "b@p" });
    world.endpoint.register(account);
    await world.write(account.keyFile, "first.json");
    server.signal("SIGHUP");
    await server.event("credential_rotated");
    const rejected = await server.event("account_rejected");
    expect(rejected["account"]).toBe(WEB_ACCOUNT);
    await server.line((line) => line["account"] === CART_ACCOUNT);
  });

  it("20 times under load loses no check, nor do bad policies in between and new certificates", async () => {
    await using server = await start();
    using connected = await connectAs(WEB, server);
    using connecting = await connectAs(WEB, server, { keepAlive: false });
    const answers = new Set<unknown>();
    const over = new AbortController();
    const load = [connected, connecting].map(async ({ check }) => {
      while (!over.signal.aborted) answers.add(await check());
    });
    const waitFor = (what: string, times: number) => {
      const count = () => server.lines().filter(({ event }) => event === what).length;
      return expect.poll(count, { timeout: 10_000 }).toBe(times);
    };
    for (let change = 1; change <= 20; change++) {
      const account = change % 2 === 0 ? WEB_ACCOUNT : CART_ACCOUNT;
      await files.writePolicy(POLICY.replace(WEB_ACCOUNT, account) + "\n".repeat(change));
      if (change % 5 === 0) await files.renewCertificate();
      server.signal("SIGHUP");
      await waitFor("policy_changed", change);
      expect(await connected.check()).toBe(`${account} ${ORDERS}`);
      await files.writePolicy("callers: []\n");
      server.signal("SIGHUP");
      await waitFor("policy_rejected", change);
      expect(await connected.check()).toBe(`${account} ${ORDERS}`);
    }
    await server.line(({ event }) => event === "tls_changed");
    over.abort();
    await Promise.all(load);
    expect(answers).toEqual(new Set([`${CART_ACCOUNT} ${ORDERS}`, `${WEB_ACCOUNT} ${ORDERS}`]));
  });
});
