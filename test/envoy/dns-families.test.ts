import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { startEnvoy } from "../support/envoy-process.ts";
import { API_HOST, startGateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";

const A = 1;
const AAAA = 28;
const IPV6_LOOPBACK = [...Array.from({ length: 15 }, () => 0), 1];

/** Starts a DNS server that knows one IPv4 and one IPv6 address for every name (RFC 1035). */
async function startDns(ipv4: readonly number[], ipv6: readonly number[]) {
  const socket = createSocket("udp4", (query, { port }) => {
    const question = query.subarray(12, query.indexOf(0, 12) + 5);
    const type = question.readUInt16BE(question.length - 4);
    const address = type === A ? ipv4 : type === AAAA ? ipv6 : [];
    const header = Buffer.from([...query.subarray(0, 2), 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    if (address.length === 0) header[7] = 0;
    const head = [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, address.length];
    const answer = address.length === 0 ? [] : [...head, ...address];
    socket.send(Buffer.concat([header, question, Buffer.from(answer)]), port, "127.0.0.1");
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}

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

interface Bootstrap {
  readonly static_resources: {
    readonly clusters: { readonly name: string; typed_dns_resolver_config?: unknown }[];
  };
}

/** Makes the service's cluster ask a DNS server of the test. */
function withDnsServer(config: string, port: number): string {
  const bootstrap = parse(config) as Bootstrap;
  for (const cluster of bootstrap.static_resources.clusters) {
    if (!cluster.name.startsWith("service")) continue;
    cluster.typed_dns_resolver_config = {
      name: "envoy.network.dns_resolver.cares",
      typed_config: {
        "@type":
          "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        resolvers: [{ socket_address: { address: "127.0.0.1", port_value: port } }],
        dns_resolver_options: { no_default_search_domain: true },
      },
    };
  }
  return stringify(bootstrap, { aliasDuplicateObjects: false });
}

it.each([
  ["only its IPv6 address works", "::1", [127, 0, 0, 9], IPV6_LOOPBACK],
  ["only its IPv4 address works", "127.0.0.8", [127, 0, 0, 8], IPV6_LOOPBACK],
] as const)("gateway reaches a service of which %s", async (_what, host, ipv4, ipv6) => {
  await using parts = new AsyncDisposableStack();
  const container = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello") }),
  );
  const { google, authServer } = parts.use(await startGateway({ container }));
  const dns = parts.use(await startDns(ipv4, ipv6));
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
      (config) => withDnsServer(config, dns.port),
    ),
  );
  const response = await fetch(`http://127.0.0.1:${envoy.port("http")}`);
  expect(await response.text()).toBe("hello");
});
