import { isIP } from "node:net";

/** Where to listen or connect: a TCP address (port 0: any free one) or a Unix domain socket. */
export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

export type TcpAddress = Extract<Address, { kind: "tcp" }>;

/** Longest path that fits `sockaddr_un.sun_path` with its terminator. */
const MAX_SOCKET_PATH = 107;
/** RFC 1123 labels; no underscore, no trailing dot. */
const HOSTNAME =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/i;
/** A name whose last label is a number would be taken for an IPv4 address (WHATWG URL). */
const LOOKS_NUMERIC = /(?:^|\.)\d+$/;

export function isHostname(text: string): boolean {
  return isIP(text) !== 0 || (HOSTNAME.test(text) && !LOOKS_NUMERIC.test(text));
}

/** Parses a port. Throws an Error whose message is the rule. */
export function parsePort(text: string, minimum = 1): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port >= minimum && port <= 65_535)) {
    throw new Error(`must be a port, ${minimum} to 65535`);
  }
  return port;
}

/** Parses `HOST:PORT` or `[IPv6]:PORT`. Throws an Error whose message is the rule. */
export function parseTcpAddress(text: string, minimumPort = 0): TcpAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const [, ipv6, name, port] = match ?? [];
  const host = ipv6 ?? name;
  if (host === undefined || port === undefined || !isHostname(host)) {
    throw new Error("must be HOST:PORT, as in 127.0.0.1:8080 or [::1]:8080");
  }
  if (ipv6 !== undefined && isIP(ipv6) !== 6) throw new Error("only an IPv6 address goes in […]");
  return { kind: "tcp", host, port: parsePort(port, minimumPort) };
}

/** Parses `HOST:PORT` or `unix:/path`. Throws an Error whose message is the rule. */
export function parseAddress(text: string, minimumPort = 0): Address {
  if (!text.startsWith("unix:")) return parseTcpAddress(text, minimumPort);
  const path = text.slice("unix:".length);
  if (!path.startsWith("/")) throw new Error("must name an absolute path after unix:");
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new Error(`must be a socket path of at most ${MAX_SOCKET_PATH} bytes`);
  }
  return { kind: "unix", path };
}

/** 127.0.0.0/8, ::1 and the name localhost. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return bare === "localhost" || bare === "::1" || (isIP(bare) === 4 && bare.startsWith("127."));
}

/** Formats an address as it is written in settings. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return address.host.includes(":")
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}
