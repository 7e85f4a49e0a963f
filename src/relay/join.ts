import { constants, type ServerHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import type { TcpAddress } from "../system/address.ts";
import { codeOf } from "../system/errors.ts";

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
  // The close event follows.
  stream.on("error", () => {});
  const refuse = (error: unknown) => {
    options.onUnreachable(codeOf(error) ?? "unknown");
    if (!stream.destroyed && !stream.closed)
      stream.respond({ ":status": 503 }, { endStream: true });
  };
  socket.once("error", refuse);
  const timer = setTimeout(() => socket.destroy(new ConnectTimeoutError()), CONNECT_TIMEOUT_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.once("connect", () => {
    clearTimeout(timer);
    socket.off("error", refuse);
    socket.on("error", () => passReset(socket, stream));
    if (stream.destroyed || stream.closed) return abort(socket);
    stream.respond({ ":status": 200 });
    socket.pipe(stream);
    stream.pipe(socket, { end: false });
  });
  stream.once("end", () => {
    // An empty write is complete when all before it are: until then a reset is still possible.
    if (isEndedByPeer(stream)) socket.write("", () => socket.end());
    else abort(socket);
  });
  // A cancelled stream with data to send is not closed otherwise.
  stream.once("aborted", () => stream.destroy());
  stream.once("close", () => {
    const isWhole = stream.rstCode === constants.NGHTTP2_NO_ERROR && stream.writableFinished;
    if (!isWhole || !stream.readableEnded) abort(socket);
  });
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
  if (!socket.readableEnded) {
    stream.destroy(new Error("the TCP server reset the connection"));
    return;
  }
  // It had closed, and the client went on sending. The client may still be reading its answer, which
  // a reset would discard.
  stream.unpipe(socket);
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), GRACE_MS);
  stream.once("close", () => clearTimeout(timer));
}

/** Resets a connection; one whose sending side is shut down can only be closed. */
function abort(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
