import { createServer } from "node:http";
import { expect, it } from "vitest";
import { createChecklist, formatResult } from "../../../src/doctor/checklist.ts";
import { checkEndpoint, proxyHeaders } from "../../../src/doctor/endpoint-checks.ts";
import { findProxy } from "../../../src/doctor/find-proxy.ts";
import { startHttpProxy } from "../../support/http-proxy.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

async function run(endpoint: string, env: NodeJS.ProcessEnv = {}) {
  const lines: string[] = [];
  const checklist = createChecklist((result) => lines.push(formatResult(result)));
  const connection = await checkEndpoint(new URL(endpoint), env, 5000, checklist);
  connection?.socket.destroy();
  return { lines, connection };
}

it("an endpoint without TLS passes every step", async () => {
  await using server = createServer();
  const port = await listenOnLoopback(server);
  const { lines, connection } = await run(`http://127.0.0.1:${port}/token`);
  expect(lines).toEqual([
    "✓ dns     127.0.0.1 is an IP address",
    `✓ tcp     127.0.0.1:${port} accepts connections`,
    `✓ tls     not used: the endpoint is http://127.0.0.1:${port}`,
  ]);
  expect(connection?.route.proxy).toBeUndefined();
});

it("the steps after a failed one are not checked", async () => {
  const { lines, connection } = await run("https://127.0.0.1:1/token");
  expect(lines).toEqual([
    "✓ dns     127.0.0.1 is an IP address",
    "✗ tcp     127.0.0.1:1: connection refused → check host, port and firewall",
    "- tls     not checked because tcp failed",
  ]);
  expect(connection).toBeUndefined();
});

it("a proxy that refuses the tunnel is named with its status and a remedy", async () => {
  await using proxy = await startHttpProxy({ port: 1, refuseWith: 403 });
  const { lines } = await run("https://a.example/token", { HTTPS_PROXY: `http://${proxy.host}` });
  expect(lines.slice(2)).toEqual([
    `✗ proxy   ${proxy.host} answered 403 when asked to connect to a.example:443 → have the proxy allow a.example:443`,
    "- tls     not checked because proxy failed",
  ]);
});

it("a proxy gets the credentials of its URL, and nothing is sent without them", () => {
  const endpoint = new URL("https://a.example/token");
  const route = (url: string) => ({ endpoint, proxy: findProxy(endpoint, { HTTPS_PROXY: url }) });
  expect(proxyHeaders(route("http://user:pass@p:1"))).toEqual({
    "proxy-authorization": `Basic ${Buffer.from("user:pass").toString("base64")}`,
  });
  expect(proxyHeaders(route("http://p:1"))).toEqual({});
});
