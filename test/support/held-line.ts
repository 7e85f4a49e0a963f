import { connect, createServer, type Socket } from "node:net";
import { listenOnLoopback } from "./loopback.ts";

/** A connection in which what the client sends can be kept on its way. */
export interface HeldLine extends Disposable {
  /** Where the client connects. */
  readonly port: number;
  /** Keeps what the client sends. */
  readonly hold: () => void;
  /** Delivers it. */
  readonly release: () => void;
}

/** Listens for one client of the server on this port. */
export async function startHeldLine(to: number): Promise<HeldLine> {
  const outbound = connect({ port: to, host: "127.0.0.1", noDelay: true });
  let inbound: Socket | undefined;
  const server = createServer({ noDelay: true }, (socket) => {
    inbound = socket;
    socket.on("error", () => {}).pipe(outbound);
    outbound.pipe(socket);
  });
  outbound.on("error", () => {});
  const port = await listenOnLoopback(server);
  return {
    port,
    hold: () => void inbound?.unpipe(outbound).pause(),
    release: () => void inbound?.pipe(outbound),
    [Symbol.dispose]: () => {
      server.close();
      inbound?.destroy();
      outbound.destroy();
    },
  };
}
