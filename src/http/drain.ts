import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../system/clock.ts";

/** Grace period for idle connections to receive `Connection: close`. */
const GRACE_MS = 1000;

/**
 * Prepares a server for a graceful shutdown and returns the function that performs it: from then
 * on every answer says `Connection: close`, connections still idle after a second are closed, and
 * open requests may finish within `timeoutMs`. It resolves when no connection is left.
 */
export function prepareDrain(server: Server, clock: Clock): (timeoutMs: number) => Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });

  function allClosed(): Promise<unknown> {
    return Promise.all([...sockets].map(closed));
  }

  function closed(socket: Socket): Promise<void> {
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
    const { promise: graceOver, resolve } = Promise.withResolvers<void>();
    const cancelGrace = clock.schedule(Math.min(GRACE_MS, timeoutMs), resolve);
    await Promise.race([allClosed(), graceOver]);
    cancelGrace();
    // Stops listening and closes idle connections; calls back after the last request.
    await new Promise<void>((done) => server.close(() => done()));
    cancelDeadline();
  };
}
