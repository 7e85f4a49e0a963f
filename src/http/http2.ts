import { METHODS } from "node:http";
import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";

/** Answers one request over HTTP/2. */
export type AnswerHttp2 = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

export interface Http2Options {
  /** Answers gRPC calls. */
  readonly answerCall: AnswerHttp2;
  /** Answers every other request. */
  readonly answerRequest: AnswerHttp2;
  /** Largest header list, in bytes. */
  readonly maxHeaderBytes: number;
  /** A connection without requests is closed after this. */
  readonly idleTimeoutMs: number;
}

/** The HTTP/2 connections of a server that accepts them elsewhere. */
export interface Http2Connections {
  readonly accept: (socket: Socket) => void;
  /** Announces the end of every connection, present and future; open streams go on. */
  readonly announceEnd: () => void;
  /** Accepts no more streams and closes each connection after its last one. */
  readonly close: () => void;
  /** Closes every connection immediately. */
  readonly destroy: () => void;
}

/** A proxy opens another connection beyond this; a client that ignores it gets REFUSED_STREAM. */
const MAX_CONCURRENT_STREAMS = 1000;
/** As many header fields as in HTTP/1.1. */
const MAX_HEADER_FIELDS = 2000;
/** A proxy resets a stream when its own client goes away, many at a time when a mint hangs. */
const RESETS = { streamResetBurst: 10_000, streamResetRate: 1000 };
/** A GOAWAY with the highest stream ID refuses nothing (RFC 9113, section 6.8). */
const LAST_STREAM_ID = 2 ** 31 - 1;
const GRPC = /^application\/grpc(?:\+proto)?(?:;|$)/;
const KNOWN_METHODS = new Set(METHODS);

/** Creates the HTTP/2 side of a server: gRPC calls, and the same requests as over HTTP/1.1. */
export function createHttp2Connections(options: Http2Options): Http2Connections {
  const { answerCall, answerRequest, maxHeaderBytes, idleTimeoutMs } = options;
  const sessions = new Set<ServerHttp2Session>();
  let isEnding = false;
  // Never listens: it turns the streams that it is given into requests.
  const requests = createServer((request, response) => {
    const isCall = GRPC.test(request.headers["content-type"] ?? "");
    return isCall ? answerCall(request, response) : answerRequest(request, response);
  });
  const server = createServer({
    ...RESETS,
    maxHeaderListPairs: MAX_HEADER_FIELDS,
    settings: { maxConcurrentStreams: MAX_CONCURRENT_STREAMS, maxHeaderListSize: maxHeaderBytes },
  });

  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    closeWhenIdle(session, idleTimeoutMs);
    // With its first answer, as over HTTP/1.1: before it, some clients would drop their request.
    if (isEnding) session.once("stream", () => announce(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers, flags, rawHeaders) => {
    if (!KNOWN_METHODS.has(headers[":method"] ?? "")) headers[":method"] = "PUT";
    requests.emit("stream", stream, headers, flags, rawHeaders);
  });

  return {
    accept: (socket) => void server.emit("connection", socket),
    announceEnd: () => {
      isEnding = true;
      for (const session of sessions) announce(session);
    },
    close: () => {
      for (const session of sessions) session.close();
    },
    destroy: () => {
      for (const session of sessions) session.destroy();
    },
  };
}

function announce(session: ServerHttp2Session): void {
  // One that is closing leaves the set only when it has closed.
  if (session.closed || session.destroyed) return;
  session.goaway(constants.NGHTTP2_NO_ERROR, LAST_STREAM_ID);
}

function closeWhenIdle(session: ServerHttp2Session, timeoutMs: number): void {
  let open = 0;
  session.on("stream", (stream) => {
    open += 1;
    stream.once("close", () => (open -= 1));
  });
  session.setTimeout(timeoutMs, () => {
    if (open === 0) session.close();
  });
}
