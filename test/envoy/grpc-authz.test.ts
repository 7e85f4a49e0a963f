import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EnvoyProcess } from "../support/envoy-process.ts";
import { renderConfig, startEnvoyOn } from "../support/envoy-process.ts";
import { API_AUDIENCE, API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { checkOverGrpc, type GrpcAuthzOptions } from "../support/grpc-authz.ts";
import { HOSTS, NAMED, send, TEAM } from "../support/hostile-requests.ts";
import { startHttpService } from "../support/http-service.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";

const RESTARTS = 3;
const WORKERS = 16;
const parts = new AsyncDisposableStack();
let google: Google;
let authServer: ServerProcess;
let flags: readonly string[] = [];
/** Headers of the last request that reached the service's container. */
let seen: Readonly<Record<string, unknown>> = {};
let served = 0;

/** Starts an auth server, and the shipped gateway with its checks over gRPC. */
async function startEnvoy(
  options: Omit<GrpcAuthzOptions, "authz"> = {},
  server = authServer,
): Promise<EnvoyProcess> {
  const authz = server.address;
  const config = await renderConfig("gateway", [
    ...google.serviceFlags(API_HOST),
    "--listen=127.0.0.1:0",
    `--authz=${authz}`,
  ]);
  return parts.use(await startEnvoyOn(checkOverGrpc(config, { ...options, authz }), "gateway"));
}

beforeAll(async () => {
  const container = parts.use(
    await startHttpService({
      request: ({ headers }, response) => {
        seen = headers;
        served += 1;
        response.end("served");
      },
    }),
  );
  google = parts.use(
    await startGoogle({ services: [{ host: API_HOST, audiences: [API_AUDIENCE], ...container }] }),
  );
  flags = [
    `--credentials=${google.keyFile}`,
    `--allow-audience=${API_AUDIENCE},https://*.team.run.app`,
    "--audience-from-host",
  ];
  authServer = parts.use(await startServer(flags));
});
afterAll(() => parts.disposeAsync());

const mintedFor = () => new Set(google.endpoint.exchanges.map(({ audience }) => audience));

describe.each(["envoy_grpc", "google_grpc"] as const)("checks by %s", (client) => {
  let port = 0;
  beforeAll(async () => {
    port = (await startEnvoy({ client, audience: API_AUDIENCE })).port("http");
  });

  it("put the token on the request, and no token header of the client's", async () => {
    const headers = {
      authorization: "Bearer mine",
      "x-serverless-authorization": "Bearer mine",
      "proxy-authorization": "Bearer mine",
    };
    const response = await fetch(`http://127.0.0.1:${port}/a`, { headers });
    expect(response.status).toBe(200);
    expect(seen).not.toHaveProperty("x-serverless-authorization");
    expect(seen).not.toHaveProperty("proxy-authorization");
    expect(google.cloudRun.refused()).toBe(0);
  });

  it.each(NAMED)("give a client the route's audience only: %s", async (_what, lines) => {
    const answer = await send(port, `GET / HTTP/1.1\nHost: x\n${lines}`);
    expect(answer).toMatch(/^HTTP\/1\.1 (?:200|400) /);
    expect(mintedFor()).toEqual(new Set([API_AUDIENCE]));
  });
});

describe("checks by gRPC where no route names an audience", () => {
  let port = 0;
  beforeAll(async () => {
    port = (await startEnvoy()).port("http");
  });

  it.each([
    ...NAMED.map(([what, lines]) => [what, `GET / HTTP/1.1\nHost: x.evil.com\n${lines}`] as const),
    ...HOSTS,
  ])("deny a client that is not allowed its host: %s", async (_what, head) => {
    const before = served;
    expect(await send(port, head)).toMatch(
      /^HTTP\/1\.[01] (?:400 .*|403 .*\{"error":"audience_(?:not_allowed|missing)"\})$/s,
    );
    expect(served).toBe(before);
    expect(mintedFor()).toEqual(new Set([API_AUDIENCE]));
  });

  it("mint for an allowed host", async () => {
    expect(await send(port, "GET / HTTP/1.1\nHost: SVC.Team.Run.App:9090")).toMatch(
      /^HTTP\/1\.1 401 /,
    );
    expect(mintedFor()).toEqual(new Set([API_AUDIENCE, TEAM]));
  });
});

it("Envoy counts a check without a token as an error and no denial", async () => {
  google.endpoint.setFault({ kind: "status", status: 503 });
  await using cold = await startServer([...flags, `--audience=${API_AUDIENCE}`]);
  const envoy = await startEnvoy({}, cold);
  const response = await fetch(`http://127.0.0.1:${envoy.port("http")}/`);
  google.endpoint.setFault(undefined);
  expect(response.status).toBe(503);
  const stats = await (
    await fetch(`http://127.0.0.1:${envoy.adminPort}/stats?filter=ext_authz`)
  ).text();
  expect(stats).toMatch(/ext_authz\.error: 1$/m);
  expect(stats).not.toMatch(/ext_authz\.denied: [1-9]/);
});

it("Envoy's gRPC health check follows readiness", async () => {
  const envoy = await startEnvoy({ healthCheck: true });
  const stats = async () =>
    (await fetch(`http://127.0.0.1:${envoy.adminPort}/stats?filter=authz.health_check`)).text();
  // Each iteration waits for an answer from Envoy, so this is no busy loop.
  while (!/health_check\.success: [1-9]/.test(await stats())) continue;
  expect(await stats()).toMatch(/health_check\.failure: 0/);
});

describe("a restart of the auth server", () => {
  /** Restarts it repeatedly under load, and resolves with the outcomes of all requests. */
  async function restart(signal: NodeJS.Signals) {
    let server = await startServer([...flags, `--audience=${API_AUDIENCE}`]);
    const { address } = server;
    const envoy = await startEnvoy({}, server);
    const load = startLoad(WORKERS, httpAttempt(`http://127.0.0.1:${envoy.port("http")}/`));
    for (let round = 0; round < RESTARTS; round++) {
      await load.more(300);
      await server.stop(signal);
      server = await startServer([...flags, `--audience=${API_AUDIENCE}`, `--listen=${address}`]);
    }
    parts.use(server);
    await load.more(300);
    return load.stop();
  }

  it("by SIGTERM loses no request", async () => {
    expect(await restart("SIGTERM")).toEqual({ ok: expect.any(Number) });
  }, 60_000);

  it("by SIGKILL loses none but those whose answer had begun, which Envoy cannot retry", async () => {
    const { ok = 0, 503: lost = 0, ...others } = await restart("SIGKILL");
    expect(others).toEqual({});
    expect(ok).toBeGreaterThan(900);
    // Node sends headers and message in one write and the trailers in the next, for all concurrent
    // calls together: a kill between the two can end every open call, one per worker.
    expect(lost).toBeLessThanOrEqual(WORKERS * RESTARTS);
  }, 60_000);
});
