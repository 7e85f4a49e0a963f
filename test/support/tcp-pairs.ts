import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { listenOnLoopback } from "./loopback.ts";

/** Both ends of one connection. Neither reads yet, and neither closes because the other does. */
export interface TcpPair extends Disposable {
  readonly client: Socket;
  readonly server: Socket;
}

export interface TcpPairs extends AsyncDisposable {
  /** The TCP server's port. */
  readonly port: number;
  /** How many connections the server has open. */
  readonly open: () => number;
  /** Connects to a port that leads to the server. Rejects if the connection ends before. */
  readonly connect: (port: number) => Promise<TcpPair>;
}

const NAME_BYTES = 36;

/** Starts a TCP server that gives out both ends of each connection. */
export async function startTcpPairs(): Promise<TcpPairs> {
  const waiting = new Map<string, (socket: Socket) => void>();
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => {});
    readName(socket, (name) => waiting.get(name)?.(socket));
  });
  const port = await listenOnLoopback(server);

  async function connectPair(to: number): Promise<TcpPair> {
    const name = randomUUID();
    const accepted = Promise.withResolvers<Socket>();
    waiting.set(name, accepted.resolve);
    const client = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    client.on("error", () => {});
    const ended = () => accepted.reject(new Error("the connection ended at once"));
    // It notices its end only if it reads; the server sends nothing yet.
    client.once("end", ended).once("close", ended).resume().write(name);
    try {
      const socket = await accepted.promise;
      client.off("end", ended).pause();
      const close = () => void [client.destroy(), socket.destroy()];
      return { client, server: socket, [Symbol.dispose]: close };
    } finally {
      waiting.delete(name);
    }
  }

  return {
    port,
    open: () => open.size,
    connect: connectPair,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** Each client starts by saying which it is. */
function readName(socket: Socket, found: (name: string) => void): void {
  socket.on("readable", function read() {
    const name = socket.read(NAME_BYTES) as Buffer | null;
    if (name === null) return;
    socket.off("readable", read);
    socket.pause();
    found(name.toString());
  });
}
