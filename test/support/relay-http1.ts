import { request, type IncomingMessage, type ServerResponse } from "node:http";
import { constants } from "node:http2";
import { CANCEL, endToEnd, type Caller, type OpenContainer } from "./relay.ts";

/** A request that came by HTTP/1.1. */
export function callerByHttp1(incoming: IncomingMessage, outgoing: ServerResponse): Caller {
  const { headers } = incoming;
  // The close event tells of it.
  incoming.on("error", () => {});
  outgoing.on("error", () => {});
  return {
    head: {
      method: incoming.method ?? "",
      path: incoming.url ?? "",
      authority: headers.host ?? "",
      headers: endToEnd(headers),
      hasBody: "transfer-encoding" in headers || Number(headers["content-length"] ?? 0) > 0,
    },
    remoteAddress: incoming.socket.remoteAddress ?? "",
    body: incoming,
    trailers: () => incoming.trailers,
    sink: outgoing,
    setTrailers: (trailers) => outgoing.addTrailers(trailers),
    respond: ({ status, headers: responseHeaders, endStream }) => {
      outgoing.writeHead(status, responseHeaders);
      if (endStream) outgoing.end();
      else outgoing.flushHeaders();
    },
    // HTTP/1.1 knows no error but the connection's end.
    reset: (code) => {
      if (code !== 0) outgoing.destroy();
    },
    onGone: (listener) => {
      const tell = () => {
        if (!outgoing.writableFinished) listener(CANCEL);
      };
      if (incoming.socket.destroyed) tell();
      else outgoing.once("close", tell);
    },
  };
}

/** Sends requests to a container by HTTP/1.1, each over a connection of its own. */
export function containerByHttp1(port: number): OpenContainer {
  return ({ method, path, authority, headers, hasBody }, listener) => {
    const chunked = hasBody && headers["content-length"] === undefined;
    const outgoing = request({
      host: "127.0.0.1",
      port,
      method,
      path,
      agent: false,
      headers: { ...headers, host: authority, ...(chunked && { "transfer-encoding": "chunked" }) },
    });
    if (!hasBody) outgoing.end();
    outgoing.once("response", (response) => {
      const { statusCode: status = 0, headers: responseHeaders } = response;
      const head = { status, headers: endToEnd(responseHeaders), endStream: false };
      response.on("error", () => listener.gone(constants.NGHTTP2_INTERNAL_ERROR));
      listener.response(head, { body: response, trailers: () => response.trailers });
    });
    let responded = false;
    outgoing.once("response", () => {
      responded = true;
    });
    outgoing.on("error", () => {
      if (!responded) listener.unreachable();
    });
    return {
      sink: outgoing,
      setTrailers: (trailers) => outgoing.addTrailers(trailers),
      reset: (code) => {
        if (code !== 0) outgoing.destroy();
      },
    };
  };
}
