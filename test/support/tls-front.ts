import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createServer } from "node:tls";
import type { CertificateAuthority } from "../../src/envoy/certificates.ts";
import { listenOnLoopback } from "./loopback.ts";

export interface TlsFrontOptions {
  readonly ca: CertificateAuthority;
  /** The certificate's host name. */
  readonly host: string;
  /** When the certificate's validity of one day starts. */
  readonly from?: Date;
  /** The local port to which it forwards. */
  readonly port: number;
}

/** Starts a TLS terminator in front of a plaintext server. */
export async function startTlsFront(
  options: TlsFrontOptions,
): Promise<AsyncDisposable & { readonly port: number }> {
  const { ca, host, from, port } = options;
  const request = { commonName: host, dnsNames: [host], usage: "server", days: 1 } as const;
  const issued = await ca.issue({ ...request, ...(from && { from }) });
  const open = new Set<Socket>();
  const server = createServer(
    { cert: issued.certificatePem, key: issued.privateKeyPem },
    (socket) => join(socket, connect(port, "127.0.0.1")),
  );
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  });
  // A client that does not trust the certificate aborts the handshake.
  server.on("tlsClientError", () => {});
  return {
    port: await listenOnLoopback(server),
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** Connects two sockets to each other until either closes. */
export function join(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}
