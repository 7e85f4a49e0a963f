import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  checkRequest,
  createAuthorizationClient,
  headersOf,
} from "../support/authorization-client.ts";
import { openHttp2, type Http2Client } from "../support/http2-client.ts";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import type { TokenEndpoint } from "../support/token-endpoint.ts";

const A = "https://a.run.app";
const OTHER = "https://other.run.app";
const TOKEN = expect.stringMatching(/^Bearer eyJ/);
const parts = new AsyncDisposableStack();
let endpoint: TokenEndpoint;
let keyFile = "";
let folder = "";
let server: ServerProcess;
let http2: Http2Client;

const serve = (...flags: readonly string[]) =>
  startServer([
    "--credentials",
    keyFile,
    "--audience",
    A,
    "--allow-audience",
    "https://*.run.app",
    ...flags,
  ]);

beforeAll(async () => {
  ({ endpoint, keyFile, folder } = parts.use(await startKeyedEndpoint()));
  server = parts.use(await serve());
  http2 = parts.use(openHttp2(server.address));
  await server.event("minted");
});
afterAll(() => parts.disposeAsync());

describe("Over HTTP/2 on the same port,", () => {
  it.each(["GET", "POST", "PURGE", "FOO"])(
    "a check with method %s gets its token",
    async (method) => {
      const answer = await http2.request({ ":method": method, ":path": "/check/%zz" });
      expect(answer.status).toBe(200);
      expect(answer.headers["authorization"]).toEqual(TOKEN);
      expect(answer.body).toHaveLength(0);
    },
  );

  it("the path of the metrics with an unknown method is a check", async () => {
    const answer = await http2.request({ ":method": "FOO", ":path": "/metrics" });
    expect(answer.headers["authorization"]).toEqual(TOKEN);
  });

  it("a check names its audience by header, and may be denied", async () => {
    const check = { ":path": "/check", "x-id-token-audience": OTHER };
    expect((await http2.request(check)).headers["authorization"]).toEqual(TOKEN);
    const denied = await http2.request({ ...check, "x-id-token-audience": "https://evil.example" });
    expect(denied.status).toBe(403);
    expect(JSON.parse(denied.body.toString())).toEqual({ error: "audience_not_allowed" });
  });

  it("a check's authority is its host", async () => {
    await using fromHost = await startServer([
      `--credentials=${keyFile}`,
      "--audience-from-host",
      "--allow-audience=https://*.run.app",
    ]);
    using hosts = openHttp2(fromHost.address);
    const answer = await hosts.request({ ":path": "/check", ":authority": "b.run.app:443" });
    expect(answer.headers["authorization"]).toEqual(TOKEN);
    expect(await fromHost.event("minted")).toMatchObject({ audience: "https://b.run.app" });
  });

  it("health, metrics and pushes are served", async () => {
    expect((await http2.request({ ":path": "/livez" })).status).toBe(200);
    expect((await http2.request({ ":path": "/readyz" })).status).toBe(200);
    const metrics = await http2.request({ ":path": "/metrics" });
    expect(metrics.body.toString()).toContain("idtoken_authz_checks_total");
    const push = { ":method": "POST", ":path": "/v3/discovery:secrets" };
    const pushed = await http2.request(push, Buffer.from(JSON.stringify({ resource_names: [A] })));
    expect(JSON.parse(pushed.body.toString())).toMatchObject({ resources: [{ name: A }] });
    expect((await http2.request(push, Buffer.alloc(1_048_577, "x"))).status).toBe(413);
  });

  it("64 KiB of headers are accepted", async () => {
    const fields = Array.from({ length: 16 }, (_, index) => [`x-${index}`, "a".repeat(4085)]);
    const answer = await http2.request({ ":path": "/check", ...Object.fromEntries(fields) });
    expect(answer.status).toBe(200);
  });
});

it("a Unix domain socket serves HTTP/1.1, HTTP/2 and gRPC", async () => {
  const socketPath = join(folder, "both.sock");
  await using both = await serve("--listen", `unix:${socketPath}`);
  await both.event("minted");
  const [first] = (await once(request({ socketPath, path: "/check" }).end(), "response")) as [
    IncomingMessage,
  ];
  expect(first.resume().headers["authorization"]).toEqual(TOKEN);
  using second = openHttp2(both.address);
  expect((await second.request({ ":path": "/check" })).headers["authorization"]).toEqual(TOKEN);
  using third = createAuthorizationClient(both.address);
  expect(headersOf(await third.check(checkRequest()))).toEqual({ authorization: TOKEN });
});

it("HTTP/1.1, HTTP/2 and gRPC under load on one port lose no request", async () => {
  using calls = createAuthorizationClient(server.address);
  const loads = [
    startLoad(8, httpAttempt(`${server.url}/check`)),
    startLoad(8, async () =>
      (await http2.request({ ":path": "/check" })).headers["authorization"] === undefined
        ? "no token"
        : "ok",
    ),
    startLoad(8, async () =>
      headersOf(await calls.check(checkRequest())) === undefined ? "no token" : "ok",
    ),
  ];
  await Promise.all(loads.map((load) => load.more(1000)));
  const results = await Promise.all(loads.map((load) => load.stop()));
  expect(results).toEqual(loads.map(() => ({ ok: expect.any(Number) })));
});

describe("A drain", () => {
  it("sends a GOAWAY, finishes open calls and closes the connection", async () => {
    await using draining = await serve("--mint-timeout", "60s", "--drain-timeout", "60s");
    await draining.event("minted");
    using idle = openHttp2(draining.address);
    await once(idle.session, "connect");
    using open = openHttp2(draining.address);
    using caller = createAuthorizationClient(draining.address);
    const wentAway = [once(idle.session, "goaway"), once(open.session, "goaway")];
    endpoint.pause();
    const first = endpoint.nextExchange();
    const check = open.request({ ":path": "/check", "x-id-token-audience": OTHER });
    await first;
    const second = endpoint.nextExchange();
    const call = caller.check(checkRequest("https://third.run.app"));
    await second;
    draining.signal("SIGTERM");
    for (const [code] of await Promise.all(wentAway)) expect(code).toBe(0);
    await once(idle.session, "close");
    endpoint.resume();
    expect((await check).headers["authorization"]).toEqual(TOKEN);
    expect(headersOf(await call)).toEqual({ authorization: TOKEN });
    expect(await draining.ended).toBe(0);
  });

  it("ends open calls when its timeout is over", async () => {
    await using draining = await serve("--mint-timeout", "60s", "--drain-timeout", "300ms");
    await draining.event("minted");
    endpoint.setFault({ kind: "hang" });
    using open = openHttp2(draining.address);
    const exchange = endpoint.nextExchange();
    const check = open.request({ ":path": "/check", "x-id-token-audience": OTHER });
    await exchange;
    draining.signal("SIGTERM");
    const result = await check.catch(() => ({ status: undefined }));
    expect(result.status).toBeUndefined();
    expect(await draining.ended).toBe(0);
    endpoint.setFault(undefined);
  });
});
