import type { Server } from "node:http";
import type { Socket } from "node:net";
import { createServer } from "node:tls";
import { rememberClient } from "../access/client-names.ts";
import type { TlsFiles } from "../access/tls-files.ts";

/** A client that does not finish its handshake is disconnected after this. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface SecureOptions {
  readonly files: TlsFiles;
  /** Called for each connection that ends in its handshake. */
  readonly onRefused: () => void;
}

/**
 * Terminates TLS 1.2 and 1.3 on a server's connections before the server sees them. With
 * authorities of clients, a connection without a valid certificate ends in the handshake. New
 * connections use the certificates of the moment. Call it after everything else that listens to
 * the server's connections, and before the server listens.
 */
export function terminateTls(server: Server, { files, onRefused }: SecureOptions): void {
  const onConnection = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  const tls = createServer({
    ...files.options(),
    requestCert: files.options().ca !== undefined,
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ALPNProtocols: ["h2", "http/1.1"],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  files.onChange(() => tls.setSecureContext({ ...files.options(), minVersion: "TLSv1.2" }));
  tls.on("secureConnection", (socket) => {
    rememberClient(socket);
    for (const listener of onConnection) listener.call(server, socket);
  });
  tls.on("tlsClientError", (_error, socket) => {
    onRefused();
    socket.destroy();
  });
  server.on("connection", (socket: Socket) => {
    // A client that leaves during its handshake would be waited for until the timeout.
    socket.allowHalfOpen = false;
    tls.emit("connection", socket);
  });
}
