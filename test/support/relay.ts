import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { constants } from "node:http2";
import type { Readable, Writable } from "node:stream";

/** What a request starts with. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** Host and, maybe, port. */
  readonly authority: string;
  /** Without HTTP/2's pseudo-headers. */
  readonly headers: IncomingHttpHeaders;
  readonly hasBody: boolean;
}

/** What a response starts with; `endStream`: it is all of it. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly endStream: boolean;
}

/** A body and, once it has ended, its trailers. */
export interface Incoming {
  readonly body: Readable;
  readonly trailers: () => IncomingHttpHeaders;
}

/** Where a body goes. Trailers count when they are set before the body ends. */
export interface Outgoing {
  readonly sink: Writable;
  readonly setTrailers: (trailers: IncomingHttpHeaders) => void;
  /** Ends the stream, with an HTTP/2 error code where that is spoken; harmless when it is over. */
  readonly reset: (code: number) => void;
}

/** The side that asks, by either version of HTTP. */
export interface Caller extends Incoming, Outgoing {
  readonly head: RequestHead;
  readonly remoteAddress: string;
  readonly respond: (head: ResponseHead) => void;
  /**
   * Calls back, at once where it is so already, when the stream is over before both bodies were;
   * with its error code.
   */
  readonly onGone: (listener: (code: number) => void) => void;
}

/** What a container tells of a request. */
export interface ContainerListener {
  readonly response: (head: ResponseHead, incoming: Incoming) => void;
  /** The stream is over before both bodies were. */
  readonly gone: (code: number) => void;
  /** There is no container. */
  readonly unreachable: () => void;
}

/** Sends a request to a container. */
export type OpenContainer = (head: RequestHead, listener: ContainerListener) => Outgoing;

/**
 * Passes a request to a container and its response back, both at once and unbuffered, with
 * trailers and resets. `onStatus` hears of the response's status when it is sent.
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

/** Answers a request without any container. */
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
  // Ahead of the listener with which pipe() ends the sink.
  from.body.once("end", () => to.setTrailers(from.trailers()));
  from.body.pipe(to.sink);
}

/** The error code for the other side when a stream ended without one of its own. */
export const CANCEL = constants.NGHTTP2_CANCEL;

const HOP_BY_HOP = new Set(
  (
    "connection keep-alive proxy-connection transfer-encoding upgrade " +
    "http2-settings host te trailer"
  ).split(" "),
);

/** The headers that go on to the next hop; `te: trailers` does, as gRPC wants it. */
export function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = new Set(headers.connection?.toLowerCase().split(/ *, */));
  const kept = Object.entries(headers).filter(
    ([name, value]) =>
      !name.startsWith(":") &&
      !named.has(name) &&
      (!HOP_BY_HOP.has(name) || (name === "te" && value === "trailers")),
  );
  return Object.fromEntries(kept);
}
