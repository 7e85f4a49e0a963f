import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { expect, it } from "vitest";
import { startDnsServer, withDnsServer } from "../support/dns-server.ts";
import { startEnvoy } from "../support/envoy-process.ts";
import { API_HOST, startGateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";

/** Forwards connections to a port of 127.0.0.1. */
async function startForwarder(host: string, to: number) {
  const server = createServer((socket) => {
    const upstream = connect(to, "127.0.0.1");
    pipeline(socket, upstream, socket).catch(() => {});
  });
  server.listen(0, host);
  await once(server, "listening");
  return Object.assign(server, { port: (server.address() as AddressInfo).port });
}

it.each([
  ["IPv6", "::1", ["127.0.0.9", "::1"]],
  ["IPv4", "127.0.0.8", ["127.0.0.8", "::1"]],
] as const)(
  "gateway reaches a service whose only working address is %s",
  async (_family, host, addresses) => {
    await using parts = new AsyncDisposableStack();
    const container = parts.use(
      await startHttpService({ request: (_request, response) => response.end("hello") }),
    );
    const { google, authServer } = parts.use(await startGateway({ container }));
    const dns = parts.use(await startDnsServer(addresses));
    const forwarder = parts.use(await startForwarder(host, google.cloudRun.port));
    const envoy = parts.use(
      await startEnvoy(
        "gateway",
        [
          ...google.serviceFlags(API_HOST),
          `--connect-to=cloud-run.test:${forwarder.port}`,
          `--authz=${authServer.address}`,
          "--listen=127.0.0.1:0",
        ],
        (config) => withDnsServer(config, dns),
      ),
    );
    const response = await fetch(`http://127.0.0.1:${envoy.port("http")}`);
    expect(await response.text()).toBe("hello");
  },
);
