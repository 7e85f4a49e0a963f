import type { Server } from "node:http";
import type { Socket } from "node:net";

/** The start of HTTP/2's connection preface (RFC 9113, section 3.4), and of no HTTP/1.1 method. */
const PREFACE = Buffer.from("PRI");
/** A client that connects and sends nothing is disconnected after this. */
const SILENCE_TIMEOUT_MS = 75_000;

const ENDINGS = ["end", "error", "timeout", "close"];

/** Connections on which nothing has arrived yet. */
export interface UndecidedConnections {
  readonly closeAll: () => void;
}

/**
 * Gives each new connection of an HTTP/1.1 server to `onHttp2` if it begins with HTTP/2's preface,
 * and to the server itself otherwise. Nothing that has arrived is lost.
 */
export function splitByPreface(
  server: Server,
  onHttp2: (socket: Socket) => void,
): UndecidedConnections {
  const undecided = new Set<Socket>();
  const onHttp1 = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");

  function handOver(socket: Socket, start: Buffer): void {
    socket.setTimeout(0);
    socket.unshift(start);
    if (start.subarray(0, PREFACE.length).equals(PREFACE)) onHttp2(socket);
    else for (const listener of onHttp1) listener.call(server, socket);
  }

  server.on("connection", (socket: Socket) => {
    let start: Buffer = Buffer.alloc(0);

    function forget(): void {
      undecided.delete(socket);
      socket.off("readable", onReadable);
      for (const event of ENDINGS) socket.off(event, onGone);
    }
    function onGone(): void {
      forget();
      socket.destroy();
    }
    function onReadable(): void {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      start = Buffer.concat([start, chunk]);
      if (start.length < PREFACE.length && PREFACE.indexOf(start) === 0) return;
      forget();
      handOver(socket, start);
    }

    undecided.add(socket);
    socket.setTimeout(SILENCE_TIMEOUT_MS);
    socket.on("readable", onReadable);
    for (const event of ENDINGS) socket.on(event, onGone);
  });

  return {
    closeAll: () => {
      for (const socket of undecided) socket.destroy();
    },
  };
}
