import { once } from "node:events";
import { createServer, type Http2Session, type ServerHttp2Stream } from "node:http2";
import type { TcpAddress } from "../system/address.ts";
import { listenFault } from "../system/listen-fault.ts";
import { joinStream, type JoinOptions } from "./join.ts";

export interface RelayOptions extends JoinOptions {
  readonly listen: TcpAddress;
}

export interface Relay {
  /** Where it listens, with the chosen port. */
  readonly address: TcpAddress;
  /**
   * Accepts no further connections, waits until all streams have ended, for at most `timeoutMs`, and
   * resets the rest.
   */
  readonly close: (timeoutMs: number) => Promise<void>;
}

/** What a stream's sender may have on its way, in bytes. */
const STREAM_WINDOW_BYTES = 1_048_576;
/** As many as a tunnel may have. */
const MAX_STREAMS = 1000;
/** All streams' windows: a stalled one cannot block the others. */
const CONNECTION_WINDOW_BYTES = STREAM_WINDOW_BYTES * MAX_STREAMS;

const HTTP2_OPTIONS = {
  settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: MAX_STREAMS },
  // In megabytes; the default ends a connection with many busy streams.
  maxSessionMemory: 1024,
  // Each client that resets its connection resets a stream. The default ends a connection with all
  // its streams after 1000 resets, or 33 a second.
  streamResetBurst: 1_000_000,
  streamResetRate: 1_000_000,
};

/** Envoys before 1.40 may leave a connection open when its tunnel was cut. */
const PROBE_INTERVAL_MS = 15_000;
const PROBE_TIMEOUT_MS = 15_000;

/** Ends a connection so that each of its streams fails; without an error, they would seem to end. */
function cut(session: Http2Session): void {
  if (session.destroyed) return;
  // Else the socket would stay open as long as the other end does not take what is unsent.
  session.socket.resetAndDestroy();
  session.destroy(new Error("the tunnel was cut"));
}

/** Cuts a connection whose other end does not answer, so that the TCP server learns of it. */
function probe(session: Http2Session): void {
  // It may have ended although its socket is still open; ping() would throw.
  if (session.destroyed) return;
  const timer = setTimeout(() => cut(session), PROBE_TIMEOUT_MS);
  // A connection that is closing sends no ping; it ends by itself.
  session.ping(() => clearTimeout(timer));
}

/**
 * Starts the relay: HTTP/2 without TLS, where each stream is a TCP connection to the server. Throws
 * a StartError that names the address and the reason if it cannot listen.
 */
export async function startRelay({ listen, ...join }: RelayOptions): Promise<Relay> {
  const sessions = new Set<Http2Session>();
  const server = createServer(HTTP2_OPTIONS);
  server.on("session", (session) => {
    sessions.add(session);
    const timer = setInterval(() => probe(session), PROBE_INTERVAL_MS);
    session.once("close", () => {
      clearInterval(timer);
      sessions.delete(session);
    });
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    // The close events of its streams follow.
    session.on("error", () => {});
  });
  server.on("stream", (stream: ServerHttp2Stream) => joinStream(stream, join));
  try {
    await once(server.listen(listen.port, listen.host), "listening");
  } catch (cause) {
    throw listenFault(listen, cause);
  }
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : listen.port;

  async function close(timeoutMs: number): Promise<void> {
    const closed = once(server, "close");
    server.close();
    for (const session of sessions) session.close();
    const timer = setTimeout(() => {
      for (const session of sessions) cut(session);
    }, timeoutMs);
    await closed;
    clearTimeout(timer);
  }

  return { address: { ...listen, port }, close };
}
