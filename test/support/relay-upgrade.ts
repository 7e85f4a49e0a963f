import { request, STATUS_CODES, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { PassThrough, type Duplex } from "node:stream";
import { CANCEL, endToEnd, type Caller, type OpenContainer, type ResponseHead } from "./relay.ts";

/** Wraps an upgrade request, as for a WebSocket: the connection serves as both bodies. */
export function callerByUpgrade(incoming: IncomingMessage, socket: Duplex, early: Buffer): Caller {
  const { headers } = incoming;
  if (early.length > 0) socket.unshift(early);
  // The close event reports it.
  socket.on("error", () => {});
  return {
    head: {
      method: incoming.method ?? "",
      path: incoming.url ?? "",
      authority: headers.host ?? "",
      headers: withUpgrade(headers),
      hasBody: true,
    },
    remoteAddress: incoming.socket.remoteAddress ?? "",
    body: socket,
    sink: socket,
    trailers: () => ({}),
    setTrailers: () => {},
    respond: (head) => socket.write(formatHead(head)),
    reset: (code) => {
      if (code !== 0) socket.destroy();
    },
    onGone: (listener) => {
      if (socket.destroyed) listener(CANCEL);
      else socket.once("close", () => listener(CANCEL));
    },
  };
}

/** Sends an upgrade request to a container over HTTP/1.1. */
export function containerByUpgrade(port: number): OpenContainer {
  return ({ method, path, authority, headers }, listener) => {
    const outgoing = request({
      host: "127.0.0.1",
      port,
      method,
      path,
      agent: false,
      headers: { ...headers, host: authority },
    });
    const sink = new PassThrough();
    outgoing.once("upgrade", (response, socket, early) => {
      if (early.length > 0) socket.unshift(early);
      socket.on("error", () => {});
      const head = { status: 101, headers: withUpgrade(response.headers), endStream: false };
      listener.response(head, { body: socket, trailers: () => ({}) });
      sink.pipe(socket);
    });
    outgoing.once("response", (response) => {
      const { statusCode: status = 0, headers: responseHeaders } = response;
      const head = { status, headers: endToEnd(responseHeaders), endStream: false };
      listener.response(head, { body: response, trailers: () => ({}) });
    });
    outgoing.on("error", () => listener.unreachable());
    outgoing.end();
    return { sink, setTrailers: () => {}, reset: () => outgoing.destroy() };
  };
}

/** Restores the two hop-by-hop headers that an upgrade needs on the next hop. */
function withUpgrade(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return { ...endToEnd(headers), connection: "Upgrade", upgrade: headers.upgrade };
}

function formatHead({ status, headers }: ResponseHead): string {
  const upgraded = status === 101 ? {} : { connection: "close" };
  const lines = Object.entries({ ...headers, ...upgraded }).flatMap(([name, value]) =>
    [value ?? []].flat().map((each) => `${name}: ${each}\r\n`),
  );
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n`;
}
