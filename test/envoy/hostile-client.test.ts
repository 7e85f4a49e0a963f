import { once } from "node:events";
import {
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderConfig, startEnvoyOn } from "../support/envoy-process.ts";
import { API_AUDIENCE, API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { HOSTS, NAMED, send, TEAM } from "../support/hostile-requests.ts";
import { startServer } from "../support/server-process.ts";

const parts = new AsyncDisposableStack();
let google: Google;
/** The shipped gateway, and one whose operator lets clients name the audience. */
const ports = { shipped: 0, lenient: 0 };
/** How many requests have reached the private service. */
let served = 0;

/** Changes the config so that the client names the audience instead of the route. */
function letClientsName(config: string): string {
  return config
    .replace(/^ +authorization_request:\n(?:.*\n)*?(?= +authorization_response:)/m, "")
    .replace(
      /^( +)http_service:$/m,
      "$1allowed_headers: { patterns: [{ exact: x-id-token-audience }] }\n$1http_service:",
    );
}

beforeAll(async () => {
  const container = parts.use(
    await startHttpService({
      request: (_request, response) => {
        served += 1;
        response.end("served");
      },
    }),
  );
  google = parts.use(
    await startGoogle({ services: [{ host: API_HOST, audiences: [API_AUDIENCE], ...container }] }),
  );
  const authServer = parts.use(
    await startServer([
      `--credentials=${google.keyFile}`,
      `--allow-audience=${API_AUDIENCE},https://*.team.run.app`,
      "--audience-from-host",
    ]),
  );
  const flags = ["--listen=127.0.0.1:0", `--authz=${authServer.address}`];
  const config = await renderConfig("gateway", [...google.serviceFlags(API_HOST), ...flags]);
  ports.shipped = parts.use(await startEnvoyOn(config, "gateway")).port("http");
  ports.lenient = parts.use(await startEnvoyOn(letClientsName(config), "lenient")).port("http");
});
afterAll(() => parts.disposeAsync());

/** Sends a request over HTTP/2 and resolves with the status. */
async function statusByHttp2(headers: OutgoingHttpHeaders): Promise<unknown> {
  const session = connectHttp2(`http://127.0.0.1:${ports.lenient}`);
  const stream = session.request(headers);
  const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
  session.destroy();
  return answer[":status"];
}

const mintedFor = () => new Set(google.endpoint.exchanges.map(({ audience }) => audience));

describe("a client that names its audience", () => {
  it.each(NAMED)("gets at most the gateway's own audience: %s", async (_what, lines) => {
    const answer = await send(ports.shipped, `GET / HTTP/1.1\nHost: x\n${lines}`);
    expect(answer).toMatch(/^HTTP\/1\.1 (?:200|400) /);
    expect(mintedFor().difference(new Set([API_AUDIENCE]))).toEqual(new Set());
  });

  it.each(NAMED)("is denied where the operator lets clients choose: %s", async (_what, lines) => {
    const before = served;
    const answer = await send(ports.lenient, `GET / HTTP/1.1\nHost: x.evil.com\n${lines}`);
    // Envoy rejects malformed headers; the auth server denies the rest.
    expect(answer).toMatch(
      /^HTTP\/1\.1 (?:400 .*|403 .*\{"error":"audience_(?:not_allowed|missing)"\})$/s,
    );
    expect(served).toBe(before);
    expect(mintedFor().difference(new Set([API_AUDIENCE]))).toEqual(new Set());
  });
});

describe("a client that names an audience by its Host", () => {
  it.each(HOSTS)("is denied if the Host is not allowed: %s", async (_what, head) => {
    const answer = await send(ports.lenient, head);
    expect(answer).toMatch(
      /^HTTP\/1\.[01] (?:400 .*|403 .*\{"error":"audience_(?:not_allowed|missing)"\})$/s,
    );
    expect(mintedFor().difference(new Set([API_AUDIENCE]))).toEqual(new Set());
  });
});

describe("a client that names an audience over HTTP/2", () => {
  it.each([
    ["another authority", { ":authority": "evil.com" }],
    ["a Host beside its authority", { ":authority": "evil.com", host: "svc.team.run.app" }],
    ["two audiences", { "x-id-token-audience": [TEAM, "https://evil.run.app"] }],
    ["an empty audience", { ":authority": "svc.team.run.app", "x-id-token-audience": "" }],
  ])("is denied if it sends %s", async (_what, headers) => {
    expect(await statusByHttp2(headers)).toBe(403);
    expect(mintedFor().difference(new Set([API_AUDIENCE]))).toEqual(new Set());
  });
});

describe("a client that names an allowed audience", () => {
  it.each([
    [
      "a header in capitals",
      "GET / HTTP/1.1\nHost: x\nx-id-token-audience: HTTPS://SVC.TEAM.RUN.APP",
    ],
    ["a header", `GET / HTTP/1.1\nHost: x\nx-id-token-audience: ${TEAM}`],
    ["its Host", "GET / HTTP/1.1\nHost: SVC.Team.Run.App:9090"],
  ])("gets a token for it, which this service rejects: by %s", async (_what, head) => {
    expect(await send(ports.lenient, head)).toMatch(/^HTTP\/1\.1 401 /);
    expect(mintedFor()).toEqual(new Set([API_AUDIENCE, TEAM]));
  });
});
