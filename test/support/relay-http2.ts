import {
  connect,
  constants,
  type ClientHttp2Session,
  type Http2Stream,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { whenQuiet } from "../../src/relay/quiet.ts";
import { CANCEL, endToEnd, type Caller, type OpenContainer } from "./relay.ts";

/**
 * Settings for both sides. The connection's window is larger than those of all streams together,
 * so that a stalled stream blocks no other. Cloud Run allows 100 streams per connection; here are
 * more, because Node.js counts a stream for a moment after its reset, and refuses the next one.
 */
export const HTTP2_OPTIONS = {
  settings: {
    initialWindowSize: 1024 * 1024,
    maxConcurrentStreams: 200,
    maxHeaderListSize: 1_048_576,
  },
  // In megabytes; the default closes sessions with much data in flight.
  maxSessionMemory: 1000,
  // Each tunnel closed by its client is a reset stream; the default closes sessions with many.
  streamResetBurst: 1_000_000,
  streamResetRate: 1_000_000,
  // As many and as large headers as any front end may pass on.
  maxHeaderListPairs: 2000,
  maxSendHeaderBlockLength: 1_048_576,
};
export const CONNECTION_WINDOW_BYTES = 128 * 1024 * 1024;

/** Wraps a request received over HTTP/2. */
export function callerByHttp2(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  remoteAddress: string,
): Caller {
  const side = watchStream(stream);
  return {
    ...side,
    head: {
      method: headers[":method"] ?? "",
      path: headers[":path"] ?? "",
      authority: headers[":authority"] ?? headers.host ?? "",
      headers: endToEnd(headers),
      hasBody: !stream.endAfterHeaders,
    },
    remoteAddress,
    respond: ({ status, headers: responseHeaders, endStream }) => {
      // The caller may be gone.
      if (stream.destroyed || stream.closed) return;
      const head = { ":status": status, ...responseHeaders };
      stream.respond(head, endStream ? { endStream } : { waitForTrailers: true });
    },
  };
}

/** Sends requests to a container over one h2c connection, replaced when it has ended. */
export function containerByH2c(port: number): {
  readonly open: OpenContainer;
  readonly close: () => void;
} {
  let connection: { readonly session: ClientHttp2Session; connected: boolean } | undefined;

  function usableConnection() {
    if (connection === undefined || connection.session.closed || connection.session.destroyed) {
      const session = connect(`http://127.0.0.1:${port}`, HTTP2_OPTIONS);
      const fresh = { session, connected: false };
      // Its streams report the error.
      session.on("error", () => {});
      session.once("connect", () => {
        fresh.connected = true;
        session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
      });
      connection = fresh;
    }
    return connection;
  }

  const open: OpenContainer = ({ method, path, authority, headers, hasBody }, listener) => {
    const current = usableConnection();
    const stream = current.session.request(
      { ...headers, ":method": method, ":path": path, ":authority": authority, ":scheme": "http" },
      hasBody ? { waitForTrailers: true } : { endStream: true },
    );
    const side = watchStream(stream);
    stream.once("response", ({ ":status": status = 0, ...rest }, flags) => {
      const endStream = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      listener.response({ status, headers: endToEnd(rest), endStream }, side);
    });
    side.onGone((code) => (current.connected ? listener.gone(code) : listener.unreachable()));
    return side;
  };

  return { open, close: () => connection?.session.destroy() };
}

/** Wraps a stream's bodies, trailers and end. */
function watchStream(stream: Http2Stream): Omit<Caller, "head" | "remoteAddress" | "respond"> {
  let received: IncomingHttpHeaders = {};
  let toSend: IncomingHttpHeaders = {};
  stream.on("trailers", (trailers) => {
    received = trailers;
  });
  stream.on("wantTrailers", () => stream.sendTrailers(toSend));
  // The close event reports it.
  stream.on("error", () => {});
  return {
    body: stream,
    sink: stream,
    trailers: () => received,
    setTrailers: (trailers) => {
      toSend = trailers;
    },
    reset: (code) => resetStream(stream, code),
    onGone: (listener) => {
      const report = () => {
        const whole = stream.readableEnded && stream.writableFinished;
        const code = stream.rstCode ?? CANCEL;
        if (code !== 0 || !whole) listener(code);
      };
      if (stream.destroyed) report();
      else stream.once("close", report);
    },
  };
}

/** Resets a stream; with NO_ERROR, data already written to the peer is delivered first. */
function resetStream(stream: Http2Stream, code: number): void {
  if (code === 0 && !stream.writableFinished && !stream.destroyed) {
    stream.once("finish", () => stream.close(0));
  } else {
    whenQuiet(stream, () => stream.close(code));
  }
}
