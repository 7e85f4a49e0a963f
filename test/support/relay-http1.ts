import { request, type IncomingMessage, type ServerResponse } from "node:http";
import { constants } from "node:http2";
import { CANCEL, endToEnd, type Caller, type OpenContainer } from "./relay.ts";

/** Wraps a request received over HTTP/1.1. */
export function callerByHttp1(incoming: IncomingMessage, outgoing: ServerResponse): Caller {
  const { headers } = incoming;
  // The close event reports it.
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
    // HTTP/1.1 can signal an error only by closing the connection.
    reset: (code) => {
      if (code !== 0) outgoing.destroy();
    },
    onGone: (listener) => {
      const report = () => {
        if (!outgoing.writableFinished) listener(CANCEL);
      };
      if (incoming.socket.destroyed) report();
      else outgoing.once("close", report);
    },
  };
}

/** Sends requests to a container over HTTP/1.1, each on its own connection. */
export function containerByHttp1(port: number): OpenContainer {
  return ({ method, path, authority, headers, hasBody }, listener) => {
    const chunked = hasBody && headers["content-length"] === undefined;
    const outgoing = request({
      host: "127.0.0.1",
      port,
      method,
      path,
      agent: false,
      maxHeaderSize: 1_048_576,
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
