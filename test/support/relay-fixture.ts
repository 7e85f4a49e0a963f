import { once } from "node:events";
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { vi } from "vitest";
import { startRelay, type Relay } from "../../src/relay/relay.ts";
import { listenOnLoopback } from "./loopback.ts";

/** A relay in this process, with a client's HTTP/2 connection to it and the TCP server behind it. */
export interface RelayFixture extends AsyncDisposable {
  readonly relay: Relay;
  readonly session: ClientHttp2Session;
  /** The codes of connections that failed. */
  readonly unreachable: readonly string[];
  /** Resolves with the relay's next connection to the TCP server. */
  readonly accept: () => Promise<Socket>;
  /** Opens a stream and resolves with it and with the status of its answer. */
  readonly openStream: () => Promise<{ stream: ClientHttp2Stream; status: number | undefined }>;
  /** Opens a stream and resolves with both ends of the connection. */
  readonly openPair: () => Promise<{ stream: ClientHttp2Stream; socket: Socket }>;
}

/** Starts them. With a `targetPort`, that is where the relay connects. */
export async function startRelayFixture(targetPort?: number): Promise<RelayFixture> {
  await using starting = new AsyncDisposableStack();
  const sockets = new Set<Socket>();
  const waiting: ((socket: Socket) => void)[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
    waiting.shift()?.(socket);
  });
  const port = await listenOnLoopback(server);
  starting.defer(() => sockets.forEach((socket) => socket.destroy()));
  starting.defer(() => void server.close());
  const unreachable: string[] = [];
  const relay = await startRelay({
    listen: { kind: "tcp", host: "127.0.0.1", port: 0 },
    target: { kind: "tcp", host: "127.0.0.1", port: targetPort ?? port },
    onUnreachable: (code) => void unreachable.push(code),
  });
  starting.defer(() => relay.close(0));
  const session = connect(`http://127.0.0.1:${relay.address.port}`);
  session.on("error", () => {});
  starting.defer(() => session.destroy());

  async function openStream() {
    const stream = session.request({ ":method": "POST", ":path": "/" });
    stream.on("error", () => {});
    const [headers] = (await once(stream, "response")) as [{ ":status"?: number }];
    return { stream, status: headers[":status"] };
  }

  async function accept() {
    const accepted = Promise.withResolvers<Socket>();
    waiting.push(accepted.resolve);
    return accepted.promise;
  }

  async function openPair() {
    const accepted = accept();
    const { stream } = await openStream();
    return { stream, socket: await accepted };
  }

  const all = starting.move();
  return {
    relay,
    session,
    unreachable,
    accept,
    openStream,
    openPair,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Timers that only the test moves, until disposal. A relay cannot be closed before. */
export function useFakeTimers(): Disposable {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
  return { [Symbol.dispose]: () => void vi.useRealTimers() };
}

/** Everything that arrives until the peer ends its side. Leaves this side open. */
export async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
  stream.resume();
  await once(stream, "end");
  return Buffer.concat(chunks);
}

/** Resolves when it is closed, with an error or without. */
export function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => void stream.once("close", resolve));
}

/** Resolves with the code of a connection's error, or with "end" if its peer ended it first. */
export async function outcome(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code ?? ""));
    socket.once("end", () => resolve("end"));
    socket.resume();
  });
}
