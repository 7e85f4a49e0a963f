import { isIP, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { formatAddress } from "../system/address.ts";
import { CheckFailure, type Checklist, type Finding } from "./checklist.ts";
import { issuerOf } from "./network-fault.ts";
import { askForTunnel, openSocket, resolveHost, startTls } from "./network.ts";
import { findProxy, hostOf, portOf, type NamedProxy } from "./find-proxy.ts";

/** The route to the token endpoint. */
export interface Route {
  readonly endpoint: URL;
  readonly proxy: NamedProxy | undefined;
}

/** An open connection to the token endpoint. */
export interface Connection {
  readonly route: Route;
  readonly socket: Socket;
}

/**
 * Checks the connection to the token endpoint, through the environment's proxy if it has one: DNS,
 * TCP, the proxy's tunnel, TLS. Resolves with the open connection if every step worked.
 */
export async function checkEndpoint(
  endpoint: URL | undefined,
  env: NodeJS.ProcessEnv,
  timeoutMs: number,
  { check }: Checklist,
): Promise<Connection | undefined> {
  const route = await check("dns", endpoint, (url) =>
    resolveRoute({ endpoint: url, proxy: findProxy(url, env) }, timeoutMs),
  );
  const connection = await check("tcp", route, (known) => connectTo(known, timeoutMs));
  const isTunnelled = route?.proxy !== undefined && route.endpoint.protocol === "https:";
  const tunnelled = isTunnelled
    ? await check("proxy", connection, (open) => openTunnel(open, timeoutMs))
    : connection;
  return check("tls", tunnelled, (open) => secure(open, timeoutMs));
}

async function resolveRoute(route: Route, timeoutMs: number): Promise<Finding<Route>> {
  const host = hostOf(firstHop(route));
  const named = nameHop(route, host);
  if (isIP(host) !== 0) return { message: `${named} is an IP address`, value: route };
  const [first = "", ...others] = await resolveHost(host, timeoutMs);
  const more = others.length === 0 ? "" : ` and ${others.length} more`;
  return {
    message: `${named} is ${first}${more}`,
    facts: { host, addresses: [first, ...others].join(" ") },
    value: route,
  };
}

async function connectTo(route: Route, timeoutMs: number): Promise<Finding<Connection>> {
  const hop = firstHop(route);
  const address = { kind: "tcp", host: hostOf(hop), port: portOf(hop) } as const;
  const socket = await openSocket(address, timeoutMs);
  const { remoteAddress = "", remotePort = 0 } = socket;
  return {
    message: `${nameHop(route, formatAddress(address))} accepts connections`,
    facts: { address: remoteAddress, port: remotePort },
    value: { route, socket },
  };
}

async function openTunnel(connection: Connection, timeoutMs: number): Promise<Finding<Connection>> {
  const { route, socket } = connection;
  const proxy = firstHop(route);
  const target = `${route.endpoint.hostname}:${portOf(route.endpoint)}`;
  const trustRemedy = "have Node trust the proxy's CA: NODE_EXTRA_CA_CERTS=FILE";
  const hop =
    proxy.protocol === "https:"
      ? await startTls(socket, { host: hostOf(proxy), trustRemedy, timeoutMs })
      : socket;
  const headers = { host: target, ...proxyHeaders(route) };
  const answer = await askForTunnel(hop, { target, headers, whom: proxy.host, timeoutMs });
  if (answer.statusCode !== 200) {
    hop.destroy();
    throw judgeTunnel(route, target, answer.statusCode ?? 0);
  }
  return { message: `${proxy.host} connects to ${target}`, value: { route, socket: hop } };
}

function judgeTunnel(route: Route, target: string, status: number): CheckFailure {
  const variable = route.proxy?.variable ?? "";
  const proxy = firstHop(route).host;
  const remedies: Readonly<Record<number, string>> = {
    403: `have the proxy allow ${target}`,
    407: `put the proxy's user and password into ${variable}, as in http://USER:PASSWORD@${proxy}`,
  };
  const otherwise =
    status >= 500
      ? `the proxy cannot reach ${target}: check its DNS and its outbound access`
      : `check that ${variable} names a proxy that accepts CONNECT requests`;
  return new CheckFailure(
    `${proxy} answered ${status} when asked to connect to ${target}`,
    remedies[status] ?? otherwise,
    { status },
  );
}

async function secure(connection: Connection, timeoutMs: number): Promise<Finding<Connection>> {
  const { route, socket } = connection;
  const { endpoint } = route;
  if (endpoint.protocol !== "https:") {
    return { message: `not used: the endpoint is ${endpoint.origin}`, value: connection };
  }
  const host = hostOf(endpoint);
  const trustRemedy =
    "if a proxy or firewall inspects TLS, have Node trust its CA: NODE_EXTRA_CA_CERTS=FILE";
  const secured = await startTls(socket, { host, trustRemedy, timeoutMs });
  return { ...describeTls(secured, host), value: { route, socket: secured } };
}

/** What a connection with a verified certificate is like. */
export function describeTls(
  secured: TLSSocket,
  host: string,
): Required<Pick<Finding<unknown>, "message" | "facts">> {
  const certificate = secured.getPeerCertificate();
  const issuer = issuerOf(certificate);
  const protocol = secured.getProtocol() ?? "TLS";
  return {
    message: `${protocol}, certificate for ${host} from ${issuer}, valid to ${certificate.valid_to}`,
    facts: { protocol, issuer, validTo: certificate.valid_to },
  };
}

function firstHop({ endpoint, proxy }: Route): URL {
  return proxy?.url ?? endpoint;
}

function nameHop({ proxy }: Route, name: string): string {
  return proxy === undefined ? name : `${name} (the proxy in ${proxy.variable})`;
}

/** The headers that a proxy requires with a request. */
export function proxyHeaders({ proxy }: Route): Readonly<Record<string, string>> {
  const authorization = proxy?.authorization;
  return authorization === undefined ? {} : { "proxy-authorization": authorization };
}
