import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createServer } from "node:tls";
import type { CertificateAuthority } from "../../src/envoy/certificates.ts";
import { listenOnLoopback } from "./loopback.ts";

export interface TlsFrontOptions {
  readonly ca: CertificateAuthority;
  /** Whom its certificate is for, and from when: it lasts a day. */
  readonly host: string;
  readonly from?: Date;
  /** What it passes on to, on this machine. */
  readonly port: number;
}

/** Starts TLS in front of a server that speaks none. */
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
  // Whoever does not trust it leaves in the middle of the handshake.
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

/** Joins two connections until either ends. */
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
