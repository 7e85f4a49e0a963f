import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { constants } from "node:http2";
import type { Readable, Writable } from "node:stream";

/** The start of a request. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** The host with an optional port. */
  readonly authority: string;
  /** Without HTTP/2's pseudo-headers. */
  readonly headers: IncomingHttpHeaders;
  readonly hasBody: boolean;
}

/** The start of a response. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  /** Whether the response has neither body nor trailers. */
  readonly endStream: boolean;
}

/** A received body and, once it has ended, its trailers. */
export interface Incoming {
  readonly body: Readable;
  readonly trailers: () => IncomingHttpHeaders;
}

/** The destination of a body. Trailers must be set before the body ends. */
export interface Outgoing {
  readonly sink: Writable;
  readonly setTrailers: (trailers: IncomingHttpHeaders) => void;
  /** Ends the stream, over HTTP/2 with this error code; no effect on an ended stream. */
  readonly reset: (code: number) => void;
}

/** The client's side of a request, over either version of HTTP. */
export interface Caller extends Incoming, Outgoing {
  readonly head: RequestHead;
  readonly remoteAddress: string;
  readonly respond: (head: ResponseHead) => void;
  /** Calls back with the error code if the stream ends, or has ended, before both bodies do. */
  readonly onGone: (listener: (code: number) => void) => void;
}

/** Callbacks for a container's answer to a request. */
export interface ContainerListener {
  readonly response: (head: ResponseHead, incoming: Incoming) => void;
  /** The stream ended before both bodies did. */
  readonly gone: (code: number) => void;
  /** There is no container. */
  readonly unreachable: () => void;
}

/** Sends a request to a container. */
export type OpenContainer = (head: RequestHead, listener: ContainerListener) => Outgoing;

/**
 * Relays a request to a container and its response back, concurrently and unbuffered, including
 * trailers and resets. `onStatus` is called with the response's status when it is sent.
 */
export function relay(
  caller: Caller,
  head: RequestHead,
  open: OpenContainer,
  onStatus: (status: number) => void,
): void {
  let abandoned = false;
  const container = open(head, {
    response: (response, incoming) => {
      onStatus(response.status);
      caller.respond(response);
      if (!response.endStream) pass(incoming, caller);
    },
    gone: (code) => caller.reset(code),
    unreachable: () => {
      if (abandoned) return;
      onStatus(503);
      refuse(caller, 503, "Service Unavailable");
    },
  });
  caller.onGone((code) => {
    abandoned = true;
    container.reset(code);
  });
  if (head.hasBody) pass(caller, container);
}

/** Answers a request without its container. */
export function refuse(
  caller: Caller,
  status: number,
  text: string,
  headers: OutgoingHttpHeaders = {},
): void {
  const contentType = { "content-type": "text/html; charset=UTF-8" };
  caller.respond({ status, headers: { ...contentType, ...headers }, endStream: false });
  caller.sink.end(`<html><head><title>${status} ${text}</title></head></html>\n`);
}

function pass(from: Incoming, to: Outgoing): void {
  // Added before pipe() adds the listener that ends the sink.
  from.body.once("end", () => to.setTrailers(from.trailers()));
  from.body.pipe(to.sink);
}

/** The error code for the other side when a stream ended without an error code. */
export const CANCEL = constants.NGHTTP2_CANCEL;

const HOP_BY_HOP = new Set(
  (
    "connection keep-alive proxy-connection transfer-encoding upgrade " +
    "http2-settings host te trailer"
  ).split(" "),
);

/** Returns the end-to-end headers, and `te: trailers`, which gRPC requires. */
export function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = new Set(headers.connection?.toLowerCase().split(/ *, */));
  const endToEndHeaders = Object.entries(headers).filter(
    ([name, value]) =>
      !name.startsWith(":") &&
      !named.has(name) &&
      (!HOP_BY_HOP.has(name) || (name === "te" && value === "trailers")),
  );
  return Object.fromEntries(endToEndHeaders);
}
