import { isIP } from "node:net";
import type { AuthServerAddress } from "../envoy/values.ts";
import {
  isHostname,
  parseAddress,
  parsePort,
  parseTcpAddress,
  type TcpAddress,
} from "../system/address.ts";

/** Parses the URL of a service. Throws an Error whose message is the rule, like all of these. */
export function parseServiceUrl(text: string): TcpAddress {
  const [, host = "", port = "443"] = /^https:\/\/([^:/]*)(?::(\d+))?\/?$/i.exec(text) ?? [];
  if (isIP(host) !== 0) throw new Error("must name a host, not an IP address");
  if (!isHostname(host)) {
    throw new Error("must be https://HOST or https://HOST:PORT, without a path");
  }
  return { kind: "tcp", host: host.toLowerCase(), port: parsePort(port) };
}

/** A web origin as browsers send it (RFC 6454, section 6.1); `none` stands for no origin. */
export function parseOrigin(text: string): readonly string[] {
  if (text === "none") return [];
  const url = URL.parse(text);
  const isOrigin =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.href === `${url.origin}/` &&
    isHostname(url.hostname.replace(/^\[|\]$/g, ""));
  if (!isOrigin) throw new Error("must be a web origin, as in https://app.example.com");
  return [url.origin];
}

/** An auth server over TLS is known by its host name. */
export function parseAuthServer(text: string): AuthServerAddress {
  if (!text.startsWith("https://")) return parseAddress(text, 1);
  const { host, port } = parseServiceUrl(text);
  return { kind: "https", host, port };
}

/** Envoy does not resolve names to listen on. */
export function parseListen(text: string): TcpAddress {
  const address = parseTcpAddress(text);
  if (address.host.toLowerCase() === "localhost") return { ...address, host: "127.0.0.1" };
  if (isIP(address.host) === 0) throw new Error("must have an IP address for a host");
  return address;
}

/** Where to connect, and so never port 0. */
export function parseRemote(text: string): TcpAddress {
  return parseTcpAddress(text, 1);
}
