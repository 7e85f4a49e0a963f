import { constants, type ServerHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TcpAddress } from "../system/address.ts";
import { codeOf } from "../system/errors.ts";
import { whenQuiet } from "./quiet.ts";

/** A server that answers neither yes nor no. As long as Envoy waits for it without a relay. */
const CONNECT_TIMEOUT_MS = 5_000;
/** How long a client that goes on sending to a server that has closed may read what that sent. */
const GRACE_MS = 10_000;

export interface JoinOptions {
  readonly target: TcpAddress;
  /** Called if the TCP server cannot be reached, with the system's error code. */
  readonly onUnreachable: (code: string) => void;
}

/**
 * Connects a stream to the TCP server and carries bytes, half-closes and resets in both directions:
 * the end of a stream becomes the end of the connection only if the peer said so itself (END_STREAM);
 * a stream that was cut or cancelled becomes a TCP reset, and a TCP reset cancels the stream. Answers
 * 200 when the server has accepted the connection, 503 if it cannot be reached.
 */
export function joinStream(stream: ServerHttp2Stream, options: JoinOptions): void {
  const { host, port } = options.target;
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true, keepAlive: true });
  const timer = setTimeout(() => socket.destroy(new ConnectTimeoutError()), CONNECT_TIMEOUT_MS);
  let isConnected = false;
  // The close event follows.
  stream.on("error", () => {});
  socket.on("error", (error) => {
    if (isConnected) return passReset(socket, stream);
    clearTimeout(timer);
    options.onUnreachable(codeOf(error) ?? "unknown");
    if (!stream.destroyed && !stream.closed)
      stream.respond({ ":status": 503 }, { endStream: true });
  });
  socket.on("connect", () => {
    isConnected = true;
    clearTimeout(timer);
    if (stream.destroyed || stream.closed) return abort(socket);
    stream.respond({ ":status": 200 });
    carry(socket, stream);
    socket.on("end", () => stream.end());
    carry(stream, socket);
  });
  stream.on("end", () => {
    if (!isEndedByPeer(stream)) abort(socket);
    else if (socket.writableLength === 0) socket.end();
    // An empty write is complete when all before it are: until then a reset is still possible.
    else socket.write("", () => socket.end());
  });
  // A cancelled stream with data to send is not closed otherwise.
  stream.on("aborted", () => stream.destroy());
  stream.on("close", () => {
    clearTimeout(timer);
    const isWhole = stream.rstCode === constants.NGHTTP2_NO_ERROR && stream.writableFinished;
    if (!isWhole || !stream.readableEnded) abort(socket);
  });
}

/**
 * Carries bytes, no faster than they are taken. Each connection needs this twice, and pipe() would
 * take more of its CPU time.
 */
function carry(from: Duplex, to: Duplex): void {
  from.on("data", (bytes) => {
    // What arrives for an end that is gone is discarded.
    if (!to.destroyed && !to.write(bytes)) from.pause();
  });
  to.on("drain", () => from.resume());
}

class ConnectTimeoutError extends Error {
  /** The system's own, which would come after two minutes. */
  readonly code = "ETIMEDOUT";
}

/** Node.js also ends a stream's readable side when the stream was cut. */
function isEndedByPeer(stream: ServerHttp2Stream): boolean {
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) return false;
  // Closed without an error before this side has ended: the peer cancelled it.
  return !stream.closed || stream.writableFinished;
}

/** The server reset the connection. */
function passReset(socket: Socket, stream: ServerHttp2Stream): void {
  // An error, as otherwise the stream would seem to end.
  const reset = () => stream.destroy(new Error("the TCP server reset the connection"));
  if (!socket.readableEnded) return whenQuiet(stream, reset);
  // It had closed, and the client went on sending. The client may still be reading its answer, which
  // a reset would discard.
  stream.resume();
  const timer = setTimeout(() => whenQuiet(stream, reset), GRACE_MS);
  stream.once("close", () => clearTimeout(timer));
}

/** Resets a connection; one whose sending side is shut down can only be closed. */
function abort(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
