import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { listenOnLoopback } from "./loopback.ts";

export interface TcpService extends AsyncDisposable {
  readonly port: number;
  /** How many connections it has accepted so far. */
  readonly connections: number;
  /** Closes all connections and stops. */
  readonly close: () => Promise<void>;
}

/** The first line that it sends. */
export const BANNER =
  "Congrats! You have reached a TCP server inside a private Cloud Run service, through the tunnel.\n";

/** Starts the TCP server behind the tunnel: it greets each connection and echoes every byte. */
export async function startTcpService(): Promise<TcpService> {
  let connections = 0;
  const open = new Set<Socket>();
  // A peer that has shut down its sending side still receives the rest of its echo.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections += 1;
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    // The close event reports peers that disappear.
    socket.on("error", () => {});
    socket.write(BANNER);
    socket.pipe(socket);
  });
  const port = await listenOnLoopback(server);

  async function close(): Promise<void> {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of open) socket.destroy();
    await closed;
  }

  return {
    port,
    get connections() {
      return connections;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Connects to a local port and resolves with the first line received. Rejects when the connection
 * ends without one, or after `timeoutMs`.
 */
export async function readBanner(
  port: number,
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<string> {
  const signal = AbortSignal.timeout(timeoutMs);
  const socket = connect({ port, host: "127.0.0.1", signal }).setEncoding("utf8");
  let received = "";
  try {
    // Leaving the loop ends the connection.
    for await (const chunk of socket) {
      received += String(chunk);
      const end = received.indexOf("\n");
      if (end !== -1) return received.slice(0, end);
    }
  } catch (cause) {
    const reason = signal.aborted ? `nothing within ${timeoutMs} ms` : String(cause);
    throw new Error(`no line from port ${port}: ${reason}`, { cause });
  }
  throw new Error(`no line from port ${port}: it closed the connection`);
}
