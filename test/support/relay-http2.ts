import {
  connect,
  constants,
  type ClientHttp2Session,
  type Http2Stream,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { CANCEL, endToEnd, type Caller, type OpenContainer } from "./relay.ts";

/**
 * Settings for both sides. All streams' windows fit the connection's, so that a stalled stream
 * holds up no other; 100 streams a connection is what Cloud Run allows.
 */
export const HTTP2_OPTIONS = {
  settings: { initialWindowSize: 1024 * 1024, maxConcurrentStreams: 100 },
  // In megabytes; the default ends sessions that carry much at once.
  maxSessionMemory: 1000,
};
export const CONNECTION_WINDOW_BYTES = 128 * 1024 * 1024;

/** A request that came by HTTP/2. */
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
      // A caller that has gone hears nothing.
      if (stream.destroyed || stream.closed) return;
      const head = { ":status": status, ...responseHeaders };
      stream.respond(head, endStream ? { endStream } : { waitForTrailers: true });
    },
  };
}

/** Sends requests to a container over one h2c connection, made anew when it has ended. */
export function containerByH2c(port: number): {
  readonly open: OpenContainer;
  readonly close: () => void;
} {
  let session: ClientHttp2Session | undefined;

  function usableSession(): ClientHttp2Session {
    if (session === undefined || session.closed || session.destroyed) {
      const fresh = connect(`http://127.0.0.1:${port}`, HTTP2_OPTIONS);
      // Its streams tell of it.
      fresh.on("error", () => {});
      fresh.once("connect", () => fresh.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
      session = fresh;
    }
    return session;
  }

  const open: OpenContainer = ({ method, path, authority, headers, hasBody }, listener) => {
    const connection = usableSession();
    let connected = !connection.connecting;
    if (!connected) {
      connection.once("connect", () => {
        connected = true;
      });
    }
    const stream = connection.request(
      { ...headers, ":method": method, ":path": path, ":authority": authority, ":scheme": "http" },
      hasBody ? { waitForTrailers: true } : { endStream: true },
    );
    const side = watchStream(stream);
    stream.once("response", ({ ":status": status = 0, ...rest }, flags) => {
      const endStream = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      listener.response({ status, headers: endToEnd(rest), endStream }, side);
    });
    side.onGone((code) => (connected ? listener.gone(code) : listener.unreachable()));
    return side;
  };

  return { open, close: () => session?.destroy() };
}

/** A stream's two bodies, its trailers and its end. */
function watchStream(stream: Http2Stream): Omit<Caller, "head" | "remoteAddress" | "respond"> {
  let received: IncomingHttpHeaders = {};
  let toSend: IncomingHttpHeaders = {};
  stream.on("trailers", (trailers) => {
    received = trailers;
  });
  stream.on("wantTrailers", () => stream.sendTrailers(toSend));
  // The close event tells of it.
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
      const tell = () => {
        const whole = stream.readableEnded && stream.writableFinished;
        const code = stream.rstCode ?? CANCEL;
        if (code !== 0 || !whole) listener(code);
      };
      if (stream.destroyed) tell();
      else stream.once("close", tell);
    },
  };
}

/** NO_ERROR asks to stop sending; what is on its way to the peer arrives first. */
function resetStream(stream: Http2Stream, code: number): void {
  if (code === 0 && !stream.writableFinished && !stream.destroyed) {
    stream.once("finish", () => stream.close(0));
  } else if (!stream.closed) {
    stream.close(code);
  }
}
