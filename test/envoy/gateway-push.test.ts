import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { get } from "node:http";
import { connect } from "node:http2";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { startEnvoy } from "../support/envoy-process.ts";
import { API_AUDIENCE, API_HOST, startGateway, type Gateway } from "../support/gateway.ts";
import { startGoogle } from "../support/google.ts";
import { startHttpService, type HttpService } from "../support/http-service.ts";
import { countPushes, pollEvery } from "../support/push.ts";
import { startServer } from "../support/server-process.ts";
import { createServiceAccount } from "../support/service-account.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const BILLING = "https://billing-abc123-ew.a.run.app";
const SHOP = "https://shop-abc123-ew.a.run.app";

let container: HttpService;
beforeAll(async () => {
  container = await startHttpService({ request: (_request, response) => response.end("hello") });
});
afterAll(() => container?.[Symbol.asyncDispose]());
afterEach(() => vi.unstubAllEnvs());

const start = (delay = "0.5s", more: Partial<Parameters<typeof startGateway>[0]> = {}) =>
  startGateway({ container, config: "gateway-push", edit: pollEvery(delay), ...more });

/** Sends requests, which must all succeed, until one carries a token that matches. */
async function requestUntil(
  { url, google }: Gateway,
  matches: (identity: { email: string | undefined; expiresAtSeconds: number }) => boolean,
  before: () => Promise<void> = async () => {},
): Promise<void> {
  for (;;) {
    await before();
    const response = await fetch(url);
    expect(response.status).toBe(200);
    await response.arrayBuffer();
    const { email, expiresAtSeconds = 0 } = google.cloudRun.requests.at(-1)?.identity ?? {};
    if (matches({ email, expiresAtSeconds })) return;
  }
}

describe("gateway-push with several services", () => {
  let gateway: Gateway;
  beforeAll(async () => {
    const edit = (config: string) => {
      const port = /address: "127\.0\.0\.1"\s+port_value: ([1-9]\d*)/.exec(config)?.[1];
      return pollEvery("0.5s")(config)
        .replaceAll(/^( +)# (- | {2})/gm, "$1$2")
        .replaceAll(
          /address: [\w.-]+, port_value: 443/g,
          `address: 127.0.0.1, port_value: ${port}`,
        );
    };
    const services = [
      { host: "billing-abc123-ew.a.run.app", audiences: [BILLING], ...container },
      { host: "shop.example.com", audiences: [SHOP], ...container },
    ];
    const serveFlags = [`--allow-audience=${BILLING}`];
    gateway = await start("0.5s", { edit, services, serveFlags });
  });
  afterAll(() => gateway?.[Symbol.asyncDispose]());

  async function request(host: string, more: Readonly<Record<string, string>> = {}) {
    const { port } = gateway;
    const headers = { host, authorization: "Bearer mine", ...more };
    const [response] = await once(get({ host: "127.0.0.1", port, headers }), "response");
    return { status: Number(response.statusCode), body: await text(response) };
  }

  it.each([
    ["localhost", API_AUDIENCE],
    ["billing.localhost:9090", BILLING],
  ])("sends the token of its own route with a request for %s", async (host, audience) => {
    expect(await request(host)).toEqual({ status: 200, body: "hello" });
    expect(gateway.google.cloudRun.requests.at(-1)?.identity?.audience).toBe(audience);
  });

  it("sends a token with a WebSocket upgrade", async () => {
    // The container does not speak WebSocket and answers it as a plain request.
    const upgrade = { connection: "Upgrade", upgrade: "websocket" };
    expect((await request("localhost", upgrade)).status).toBe(200);
    expect(gateway.google.cloudRun.requests.at(-1)?.identity?.audience).toBe(API_AUDIENCE);
  });

  it("answers 503 for a route whose audience is not allowed, and logs which one it is", async () => {
    const { status, body } = await request("shop.localhost");
    expect(status).toBe(503);
    expect(JSON.parse(body)).toEqual({ error: "token_unavailable" });
    await gateway.envoy.line(`rejected: Missing SDS resources for ${SHOP}`);
    await gateway.envoy.line("request failed: status=503 flags=- details=failed_to_inject");
    expect(await countPushes(gateway.authServer.url, "audience_not_allowed")).toBeGreaterThan(0);
    expect(gateway.google.cloudRun.refused()).toBe(0);
  });

  it("answers such a route with UNAVAILABLE for a gRPC client", async () => {
    const session = connect(gateway.url);
    const stream = session.request({
      ":method": "POST",
      ":authority": "shop.localhost",
      "content-type": "application/grpc",
    });
    const [headers] = await once(stream.end(), "response");
    expect(headers).toMatchObject({ ":status": 200, "grpc-status": "14" });
    session.close();
  });
});

describe("gateway-push", () => {
  it("uses each renewed token without a restart", async () => {
    await using gateway = await start("0.5s", {
      tokenLifeSeconds: 6,
      serveFlags: ["--refresh-at=0.9"],
    });
    const seen = new Set<number>();
    await requestUntil(gateway, ({ expiresAtSeconds }) => seen.add(expiresAtSeconds).size === 3);
    expect(gateway.google.cloudRun.refused()).toBe(0);
  });

  it("continues to serve while the auth server is down", async () => {
    await using gateway = await start();
    await gateway.authServer.stop("SIGKILL");
    await gateway.envoy.line("REST update for /v3/discovery:secrets failed");
    let requests = 0;
    await requestUntil(gateway, () => ++requests === 100);
    expect(gateway.google.cloudRun.refused()).toBe(0);
  });

  it("uses a new account from the first poll after the credential's rotation", async () => {
    await using gateway = await start("1s");
    const { google, authServer } = gateway;
    const clientEmail = "other@test-project.iam.gserviceaccount.com";
    const other = createServiceAccount({ tokenUri: google.endpoint.url, clientEmail });
    google.endpoint.register(other);
    await requestUntil(gateway, ({ email }) => email === google.account.clientEmail);
    await other.writeTo(google.keyFile);
    await authServer.event("credential_rotated");
    const atRotation = await countPushes(authServer.url, "ok");
    let answers = 0;
    await requestUntil(
      gateway,
      ({ email }) => {
        // Envoy polls again only after applying an answer, so at most one may be in flight.
        expect(answers).toBeLessThanOrEqual(1);
        return email === clientEmail;
      },
      async () => {
        answers = (await countPushes(authServer.url, "ok")) - atRotation;
      },
    );
  });

  it("accepts no connection before it has a token", async () => {
    await using parts = new AsyncDisposableStack();
    const services = [{ host: API_HOST, audiences: [API_AUDIENCE], ...container }];
    const google = parts.use(await startGoogle({ services }));
    google.endpoint.pause();
    const secretFile = join(parts.use(await makeTemporaryFolder()).path, "secret");
    await writeFile(secretFile, "open sesame\n");
    vi.stubEnv("CHECK_SECRET", "open sesame");
    const authServer = parts.use(
      await startServer([
        `--credentials=${google.keyFile}`,
        `--audience=${API_AUDIENCE}`,
        `--check-secret-file=${secretFile}`,
        "--mint-timeout=200ms",
      ]),
    );
    const flags = ["--listen=127.0.0.1:0", `--authz=${authServer.address}`];
    const starting = startEnvoy(
      "gateway-push",
      [...google.serviceFlags(API_HOST), ...flags],
      pollEvery("0.5s"),
    );
    // Each iteration waits for an answer of the server, so this is no busy loop.
    while ((await countPushes(authServer.url, "mint_timeout")) === 0) continue;
    google.endpoint.resume();
    const envoy = parts.use(await starting);
    const log = envoy.logs();
    expect(log.indexOf("starting workers")).toBeGreaterThan(log.indexOf("REST update for"));
    expect((await fetch(`http://127.0.0.1:${envoy.port("http")}`)).status).toBe(200);
    expect(google.cloudRun.refused()).toBe(0);
  });
});
