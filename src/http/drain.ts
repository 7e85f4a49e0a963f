import type { FastifyReply } from "fastify";
import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../system/clock.ts";
import type { Http2Connections } from "./http2.ts";

/** Grace period for idle connections to receive `Connection: close`. */
const GRACE_MS = 1000;

/** Closes a request's connection after its answer; HTTP/2 has GOAWAY instead of a header. */
export function closeAfterAnswer(reply: FastifyReply): void {
  if (reply.request.raw.httpVersionMajor === 1) reply.header("connection", "close");
}

/**
 * Prepares a server for a graceful shutdown and returns the function that performs it: from then
 * on every answer says `Connection: close` and every HTTP/2 connection gets a GOAWAY, connections
 * still idle after a second are closed, and open requests may finish within `timeoutMs`. It
 * resolves when no connection is left.
 */
export function prepareDrain(
  server: Server,
  http2: Omit<Http2Connections, "accept">,
  clock: Clock,
): (timeoutMs: number) => Promise<void> {
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
    http2.announceEnd();
    const cancelDeadline = clock.schedule(timeoutMs, () => {
      server.closeAllConnections();
      http2.destroy();
      // Those in a TLS handshake belong to neither yet.
      for (const socket of sockets) socket.destroy();
    });
    const { promise: graceOver, resolve } = Promise.withResolvers<void>();
    const cancelGrace = clock.schedule(Math.min(GRACE_MS, timeoutMs), resolve);
    await Promise.race([allClosed(), graceOver]);
    cancelGrace();
    http2.close();
    // Stops listening and closes idle connections; calls back after the last request.
    await new Promise<void>((done) => server.close(() => done()));
    cancelDeadline();
  };
}
