import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { renderConfig, startEnvoyOn, type EnvoyProcess } from "../support/envoy-process.ts";
import { API_AUDIENCE, API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { startServer } from "../support/server-process.ts";

/** The services of the example in the config: their hosts and audiences. */
const SERVICES = [
  { host: API_HOST, audience: API_AUDIENCE },
  { host: "billing-abc123-ew.a.run.app", audience: "https://billing-abc123-ew.a.run.app" },
  { host: "shop.example.com", audience: "https://shop-abc123-ew.a.run.app" },
];

/** Uncomments the example in the config and points its services at the stand-in for Cloud Run. */
function withExample(config: string, port: number): string {
  return config
    .replace(/^( +)# (?= {2}|- name: )/gm, "$1")
    .replace(
      /address: (?:billing|shop)[^ ,]+, port_value: 443/g,
      () => `address: 127.0.0.1, port_value: ${port}`,
    );
}

describe("a gateway with the config's example of several services", () => {
  const parts = new AsyncDisposableStack();
  let google: Google;
  let envoy: EnvoyProcess;

  beforeAll(async () => {
    const request = ({ url, headers }: IncomingMessage, response: ServerResponse) => {
      const { host = "" } = headers;
      if (url === "/redirect") response.writeHead(302, { location: `https://${host}/next` });
      response.end(host);
    };
    const { containerPort, containerProtocol } = parts.use(await startHttpService({ request }));
    const services = SERVICES.map(({ host, audience }) => ({
      host,
      audiences: [audience],
      containerPort,
      containerProtocol,
    }));
    google = parts.use(await startGoogle({ services }));
    const authServer = parts.use(
      await startServer([
        `--credentials=${google.keyFile}`,
        `--audience=${API_AUDIENCE}`,
        "--allow-audience=https://*.a.run.app",
      ]),
    );
    const flags = ["--listen=127.0.0.1:0", `--authz=${authServer.address}`];
    const config = await renderConfig("gateway", [...google.serviceFlags(API_HOST), ...flags]);
    envoy = parts.use(await startEnvoyOn(withExample(config, google.cloudRun.port), "gateway"));
  });
  afterAll(() => parts.disposeAsync());

  const curl = (host: string, path: string, ...flags: readonly string[]) => {
    const port = envoy.port("http");
    // Not every resolver maps the subdomains of localhost to this machine.
    const there = ["--connect-to", `${host}:${port}:127.0.0.1:${port}`];
    return runCommand("curl", ["-sS", ...there, ...flags, `http://${host}:${port}${path}`]);
  };

  it.each([
    ["127.0.0.1", 0],
    ["anything.else", 0],
    ["billing.localhost", 1],
    ["Billing.LocalHost", 1],
    ["shop.localhost", 2],
  ] as const)("routes http://%s to its own service with its own audience", async (name, index) => {
    expect(await curl(name, "/")).toBe(SERVICES[index]?.host);
    const { service, status, identity } = google.cloudRun.requests.at(-1) ?? {};
    const { host, audience } = SERVICES[index] ?? {};
    expect({ service, status, audience: identity?.audience }).toEqual({
      service: host,
      status: 200,
      audience,
    });
  });

  it.each(["billing.localhost", "shop.localhost"])(
    "rewrites a redirect from http://%s to the same local host",
    async (host) => {
      const location = await curl(host, "/redirect", "-o", "/dev/null", "-w", "%{redirect_url}");
      expect(location).toBe(`http://${host}:${envoy.port("http")}/next`);
    },
  );
});
