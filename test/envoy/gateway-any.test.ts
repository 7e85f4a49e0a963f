import { once } from "node:events";
import { request as sendRequest, type IncomingMessage } from "node:http";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { WebSocket, WebSocketServer } from "ws";
import { startDnsServer, withDnsServer, type DnsServer } from "../support/dns-server.ts";
import { startEnvoy, type EnvoyProcess } from "../support/envoy-process.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { startServer } from "../support/server-process.ts";

const HOSTS = ["api-abc123-ew.a.run.app", "billing-abc123-ew.a.run.app"] as const;
const [API, BILLING] = HOSTS;
/** Allowed, but the stand-in's certificate is not for it. */
const OTHER_HOST = "other.example.com";
/** Names the stand-in's port to Envoy, which otherwise connects to port 443. */
const PORT_HEADER = "x-test-host";

const parts = new AsyncDisposableStack();
let google: Google;
let dns: DnsServer;
let authServerAddress = "";
/** Reaches services at the addresses of their names, only public ones, or all at one address. */
const envoys: Record<"private" | "public" | "fixed", EnvoyProcess | undefined> = {
  private: undefined,
  public: undefined,
  fixed: undefined,
};

const portOf = (which: keyof typeof envoys) => envoys[which]?.port("http") ?? 0;

/** Lets a header replace the port 443, and a DNS server of the test resolve names. */
function forTest(config: string): string {
  const bootstrap: unknown = parse(withDnsServer(config, dns), (key, value: unknown) =>
    key === "routes"
      ? (value as object[]).map((route) => ({ ...route, typed_per_filter_config: PER_ROUTE }))
      : value,
  );
  return stringify(bootstrap, { aliasDuplicateObjects: false });
}

const PER_ROUTE = {
  "envoy.filters.http.dynamic_forward_proxy": {
    "@type":
      "type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig",
    host_rewrite_header: PORT_HEADER,
  },
};

beforeAll(async () => {
  const sockets = new WebSocketServer({ noServer: true });
  parts.defer(() => sockets.close());
  const container = parts.use(
    await startHttpService({
      request: ({ url, headers }, response) => {
        if (url === "/redirect") response.writeHead(302, { location: `https://${API}/next` });
        response.end(headers.host);
      },
      upgrade: (request, socket) => {
        sockets.handleUpgrade(request, socket, Buffer.alloc(0), (client) => client.send("hi"));
      },
    }),
  );
  const services = HOSTS.map((host) => ({ host, audiences: [`https://${host}`], ...container }));
  google = parts.use(await startGoogle({ services }));
  const authServer = parts.use(
    await startServer([
      `--credentials=${google.keyFile}`,
      `--allow-audience=https://*.a.run.app,https://${OTHER_HOST}`,
    ]),
  );
  authServerAddress = authServer.address;
  dns = parts.use(await startDnsServer(["127.0.0.1"]));
  const [, connectTo = "", serviceCa = ""] = google.serviceFlags(API);
  const flags = [serviceCa, `--authz=${authServer.address}`, "--listen=127.0.0.1:0"];
  const start = async (more: readonly string[], edit = forTest) =>
    parts.use(await startEnvoy("gateway-any", [...flags, ...more], edit));
  envoys.private = await start(["--allow-private-addresses"]);
  envoys.public = await start([]);
  envoys.fixed = await start([connectTo], (config) => config);
});
afterAll(() => parts.disposeAsync());

const hostAndPort = (host: string) => `${host}:${google.cloudRun.port}`;

/** Sends a GET request in the form of a direct request, or of a request to an HTTP proxy. */
async function send(which: keyof typeof envoys, host: string, path = "/") {
  const port = portOf(which);
  const headers = { host, [PORT_HEADER]: hostAndPort(host.replace(/:\d+$/, "").toLowerCase()) };
  const sent = sendRequest({ host: "127.0.0.1", port, path, headers }).end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return {
    status: response.statusCode,
    location: response.headers.location,
    body: (await text(response)).trim(),
  };
}

const lastAudience = () => google.cloudRun.requests.at(-1)?.identity?.audience;

describe("gateway-any", () => {
  it.each(HOSTS)("takes a request to the service that its Host names: %s", async (host) => {
    expect(await send("private", host)).toMatchObject({ status: 200 });
    expect(google.cloudRun.requests.at(-1)).toMatchObject({
      service: host,
      identity: { audience: `https://${host}` },
    });
  });

  it.each([
    ["with a port", `${BILLING}:9090`, "/"],
    ["in capitals", BILLING.toUpperCase(), "/"],
    ["in the URL, as for an HTTP proxy", BILLING, `http://${BILLING}/`],
    ["in the URL with a port", BILLING, `http://${BILLING}:80/`],
  ])("finds the service %s", async (_what, host, path) => {
    await send("private", API);
    expect(await send("private", host, path)).toMatchObject({ status: 200 });
    expect(lastAudience()).toBe(`https://${BILLING}`);
  });

  it("finds the service by the :authority of HTTP/2", async () => {
    const session = connectHttp2(`http://127.0.0.1:${portOf("private")}`);
    const stream = session.request({ ":authority": API, [PORT_HEADER]: hostAndPort(API) });
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    session.destroy();
    expect(headers[":status"]).toBe(200);
    expect(lastAudience()).toBe(`https://${API}`);
  });

  it("carries WebSockets", async () => {
    const headers = { host: API, [PORT_HEADER]: hostAndPort(API) };
    const socket = new WebSocket(`ws://127.0.0.1:${portOf("private")}`, { headers });
    expect(String((await once(socket, "message"))[0])).toBe("hi");
    socket.close();
    await once(socket, "close");
  });

  it("rewrites redirects to the service itself, so that the next request comes here", async () => {
    const answer = await send("private", API, "/redirect");
    expect(answer.location).toBe(`http://${API}/next`);
    // The service redirects to another one.
    expect((await send("private", BILLING, "/redirect")).location).toBe(`https://${API}/next`);
  });

  it.each([
    "evil.example",
    "169.254.169.254",
    "127.0.0.1",
    "localhost",
    "[::1]",
    `${API}.evil.example`,
    `evil.example#.a.run.app`,
    `${API}.`,
  ])("refuses what the auth server does not allow, and does not resolve it: %s", async (host) => {
    const answer = await send("private", host);
    expect(answer.status).toBeOneOf([400, 403]);
    const resolved = dns.names.difference(new Set([...HOSTS, OTHER_HOST]));
    expect(resolved).toEqual(new Set());
  });

  it("sends nothing to a server whose certificate is for another host", async () => {
    const before = google.cloudRun.requests.length;
    expect(await send("private", OTHER_HOST)).toMatchObject({ status: 503 });
    expect(await envoys.private?.line("status=503")).toContain("CERTIFICATE_VERIFY_FAILED");
    expect(google.cloudRun.requests).toHaveLength(before);
  });

  it("refuses a service at a private address, unless private addresses are allowed", async () => {
    expect(await send("public", API)).toEqual({
      status: 403,
      location: undefined,
      body: '{"error":"address_not_allowed"}',
    });
  });

  it("reaches every service at one address with --connect-to", async () => {
    for (const host of HOSTS) {
      expect(await send("fixed", host)).toMatchObject({ status: 200, body: host });
      expect(lastAudience()).toBe(`https://${host}`);
    }
    expect(await send("fixed", OTHER_HOST)).toMatchObject({ status: 503 });
    expect(await send("fixed", "evil.example")).toMatchObject({ status: 403 });
  });
});

describe("an address that is not public", () => {
  it.each([
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "fd00::1",
    "fe80::1",
    "ff02::1",
  ])("is refused: %s", async (address) => {
    await using server = await startDnsServer([address]);
    const [, , serviceCa = ""] = google.serviceFlags(API);
    const authz = `--authz=${authServerAddress}`;
    await using envoy = await startEnvoy(
      "gateway-any",
      [serviceCa, authz, "--listen=127.0.0.1:0"],
      (config) => withDnsServer(config, server),
    );
    const headers = { host: API };
    const options = { host: "127.0.0.1", port: envoy.port("http"), headers };
    const [response] = (await once(sendRequest(options).end(), "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(403);
    expect(await text(response)).toContain('"address_not_allowed"');
  });
});
