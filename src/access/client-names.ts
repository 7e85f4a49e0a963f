import type { TLSSocket } from "node:tls";

/** On the socket itself, which HTTP/2 hides behind proxies. */
const NAMES = Symbol("names of the client");
/** One entry of Node's text form, in which a value with a comma or quote is a JSON string. */
const ENTRY = /(\w[\w ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/gy;

interface NamedSocket {
  [NAMES]?: readonly string[];
}

/** Remembers the DNS names and URIs of a connection's client certificate, if it was verified. */
export function rememberClient(socket: TLSSocket): void {
  if (!socket.authorized) return;
  const text = socket.getPeerX509Certificate()?.subjectAltName ?? "";
  (socket as NamedSocket)[NAMES] = parseNames(text);
}

/** The names that were remembered; empty without a verified certificate. */
export function clientNames(socket: (object & NamedSocket) | undefined): readonly string[] {
  return socket?.[NAMES] ?? [];
}

/** Parses the subject alternative names of a certificate as Node writes them. */
export function parseNames(text: string): readonly string[] {
  return [...text.matchAll(ENTRY)]
    .filter(([, type]) => type === "DNS" || type === "URI")
    .map(([, , value = ""]) => (value.startsWith('"') ? String(JSON.parse(value)) : value));
}
