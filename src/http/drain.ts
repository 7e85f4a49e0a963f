import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../system/clock.ts";

/** How long open connections are given to be used once more, and so to learn that this is the end. */
const FAREWELL_MS = 1000;

/**
 * Prepares a server for a polite end and returns the function that performs it. From its call on,
 * every answer says `Connection: close`; connections that nobody uses within a second are closed
 * while idle; open requests are waited for, `timeoutMs` at most. It resolves when no connection
 * is left.
 */
export function prepareDrain(server: Server, clock: Clock): (timeoutMs: number) => Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });

  function allClosed(): Promise<unknown> {
    return Promise.all([...sockets].map((socket) => once(socket)));
  }

  function once(socket: Socket): Promise<void> {
    return new Promise((resolve) => {
      if (socket.destroyed) resolve();
      else socket.once("close", () => resolve());
    });
  }

  return async (timeoutMs) => {
    server.prependListener("request", (_request, response) => {
      response.shouldKeepAlive = false;
    });
    const cancelDeadline = clock.schedule(timeoutMs, () => server.closeAllConnections());
    const { promise: farewellOver, resolve } = Promise.withResolvers<void>();
    const cancelFarewell = clock.schedule(Math.min(FAREWELL_MS, timeoutMs), resolve);
    await Promise.race([allClosed(), farewellOver]);
    cancelFarewell();
    // Stops listening and closes what is idle; the callback comes when the last request is done.
    await new Promise<void>((done) => server.close(() => done()));
    cancelDeadline();
  };
}
