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

/** Sends requests, all of which must succeed, until the token of one fits. */
async function requestUntil(
  { url, google }: Gateway,
  fits: (identity: { email: string | undefined; expiresAtSeconds: number }) => boolean,
  before: () => Promise<void> = async () => {},
): Promise<void> {
  for (;;) {
    await before();
    const response = await fetch(url);
    expect(response.status).toBe(200);
    await response.arrayBuffer();
    const { email, expiresAtSeconds = 0 } = google.cloudRun.requests.at(-1)?.identity ?? {};
    if (fits({ email, expiresAtSeconds })) return;
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
  ])("gives a request for %s its own route's token", async (host, audience) => {
    expect(await request(host)).toEqual({ status: 200, body: "hello" });
    expect(gateway.google.cloudRun.requests.at(-1)?.identity?.audience).toBe(audience);
  });

  it("gives a WebSocket its token, too", async () => {
    // The container speaks none, and takes it for a plain request.
    const upgrade = { connection: "Upgrade", upgrade: "websocket" };
    expect((await request("localhost", upgrade)).status).toBe(200);
    expect(gateway.google.cloudRun.requests.at(-1)?.identity?.audience).toBe(API_AUDIENCE);
  });

  it("fails where the audience is refused, as an outage, and tells the log which it is", async () => {
    const { status, body } = await request("shop.localhost");
    expect(status).toBe(503);
    expect(JSON.parse(body)).toEqual({ error: "token_unavailable" });
    await gateway.envoy.line(`rejected: Missing SDS resources for ${SHOP}`);
    await gateway.envoy.line("request failed: status=503 flags=- details=failed_to_inject");
    expect(await countPushes(gateway.authServer.url, "audience_not_allowed")).toBeGreaterThan(0);
    expect(gateway.google.cloudRun.refused()).toBe(0);
  });

  it("tells a gRPC client of it in gRPC's words", async () => {
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
  it("goes over to each renewed token without a restart", async () => {
    await using gateway = await start("0.5s", {
      tokenLifeSeconds: 6,
      serveFlags: ["--refresh-at=0.9"],
    });
    const seen = new Set<number>();
    await requestUntil(gateway, ({ expiresAtSeconds }) => seen.add(expiresAtSeconds).size === 3);
    expect(gateway.google.cloudRun.refused()).toBe(0);
  });

  it("goes on while the auth server is dead", async () => {
    await using gateway = await start();
    await gateway.authServer.stop("SIGKILL");
    await gateway.envoy.line("REST update for /v3/discovery:secrets failed");
    let requests = 0;
    await requestUntil(gateway, () => ++requests === 100);
    expect(gateway.google.cloudRun.refused()).toBe(0);
  });

  it("goes over to another account with the first answer after the change", async () => {
    await using gateway = await start("1s");
    const { google, authServer } = gateway;
    const clientEmail = "other@test-project.iam.gserviceaccount.com";
    const other = createServiceAccount({ tokenUri: google.endpoint.url, clientEmail });
    google.endpoint.register(other);
    await requestUntil(gateway, ({ email }) => email === google.account.clientEmail);
    await other.writeTo(google.keyFile);
    await authServer.line(({ msg }) => msg === "changed the credential");
    const atChange = await countPushes(authServer.url, "ok");
    let answers = 0;
    await requestUntil(
      gateway,
      ({ email }) => {
        // Envoy asks again only when it has used an answer; the last one may be on its way.
        expect(answers).toBeLessThanOrEqual(1);
        return email === clientEmail;
      },
      async () => {
        answers = (await countPushes(authServer.url, "ok")) - atChange;
      },
    );
  });

  it("takes no connection before it has its token", async () => {
    await using parts = new AsyncDisposableStack();
    const services = [{ host: API_HOST, audiences: [API_AUDIENCE], ...container }];
    const google = parts.use(await startGoogle({ services }));
    google.endpoint.hold();
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
    // Each turn is a request, which the server answers as soon as it gets round to it.
    while ((await countPushes(authServer.url, "mint_timeout")) === 0) continue;
    google.endpoint.release();
    const envoy = parts.use(await starting);
    const log = envoy.logs();
    expect(log.indexOf("starting workers")).toBeGreaterThan(log.indexOf("REST update for"));
    expect((await fetch(`http://127.0.0.1:${envoy.port("http")}`)).status).toBe(200);
    expect(google.cloudRun.refused()).toBe(0);
  });
});
