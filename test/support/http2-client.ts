import { once } from "node:events";
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { connect as connectSocket } from "node:net";

/** The whole answer to one request over HTTP/2. */
export interface Http2Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  /** With what a trailers-only answer has in its headers. */
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Http2Client extends Disposable {
  readonly session: ClientHttp2Session;
  /** Sends one request. Rejects if its stream is reset. */
  readonly request: (
    headers: Readonly<Record<string, string>>,
    body?: Buffer,
  ) => Promise<Http2Answer>;
}

/** Opens one HTTP/2 connection without TLS to `host:port` or `unix:path`. */
export function openHttp2(address: string): Http2Client {
  const socketPath = /^unix:(.*)$/.exec(address)?.[1];
  const session = connect(socketPath === undefined ? `http://${address}` : "http://localhost", {
    // Enough for thousands of requests that wait to be sent.
    maxSessionMemory: 1000,
    maxSendHeaderBlockLength: 1_048_576,
    ...(socketPath !== undefined && { createConnection: () => connectSocket(socketPath) }),
  });
  session.on("error", () => {});

  async function request(headers: Readonly<Record<string, string>>, body?: Buffer) {
    const stream = session.request(headers, { endStream: body === undefined });
    let answered: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on("response", (found) => (answered = found));
    stream.on("trailers", (found) => (trailers = found));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    if (body !== undefined) stream.end(body);
    // Rejects on an "error" before it.
    await once(stream, "close");
    if (!(":status" in answered)) throw new Error("the stream was closed without an answer");
    return {
      status: Number(answered[":status"]),
      headers: answered,
      trailers: "grpc-status" in answered ? answered : trailers,
      body: Buffer.concat(chunks),
    };
  }

  return { session, request, [Symbol.dispose]: () => session.destroy() };
}

/** The bytes of a message as one gRPC frame. */
export function grpcFrame(message: Uint8Array, flag = 0): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt8(flag, 0);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

/** The headers of a call of `Authorization/Check`. */
export const CHECK_CALL = {
  ":method": "POST",
  ":path": "/envoy.service.auth.v3.Authorization/Check",
  "content-type": "application/grpc",
  te: "trailers",
};
