import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { startEnvoy, type EnvoyProcess } from "../support/envoy-process.ts";
import { API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { listenOnLoopback } from "../support/loopback.ts";
import { runOrThrow } from "../support/server-process.ts";
import { startTcpService } from "../support/tcp-service.ts";
import { TUNNEL_HOST } from "../support/tunnel.ts";

/** Everything that the documents' commands reach: stand-ins for Google, and private services. */
export interface FarEnd extends AsyncDisposable {
  readonly google: Google;
  /** Creates certificates in a folder, as `certs` does, and starts the tunnel server with them. */
  readonly startTunnelServer: (certDir: string) => Promise<void>;
}

/** The private HTTP services that the documents call. */
const HTTP_HOSTS = [API_HOST, "called-abc123-ew.a.run.app", "athens-abc123-ew.a.run.app"];

/** Starts HTTP services, and a TCP server whose tunnel server is started later. */
export async function startFarEnd(): Promise<FarEnd> {
  await using parts = new AsyncDisposableStack();
  const http = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello\n") }),
  );
  const tcp = parts.use(await startTcpService());
  let tunnelServer: EnvoyProcess | undefined;
  const door = parts.use(await startDoor(() => tunnelServer?.port("http") ?? 0));
  const tunnel = { containerPort: door.port, containerProtocol: "h2c" as const };
  const services = [
    ...HTTP_HOSTS.map((host) => ({ host, audiences: [`https://${host}`], ...http })),
    { host: TUNNEL_HOST, audiences: [`https://${TUNNEL_HOST}`], ...tunnel },
  ];
  const google = parts.use(await startGoogle({ services }));
  const all = parts.move();

  async function startTunnelServer(certDir: string): Promise<void> {
    await rm(certDir, { recursive: true, force: true });
    await runOrThrow(["certs", certDir]);
    const flags = ["--port=0", `--target=127.0.0.1:${tcp.port}`, `--cert-dir=${certDir}`];
    tunnelServer = all.use(await startEnvoy("tunnel-server", flags));
  }

  return { google, startTunnelServer, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** A port whose connections lead to another port, which is asked for anew by each. */
async function startDoor(
  target: () => number,
): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<Socket>();
  const door = createServer((socket) => {
    const inner = connect(target(), "127.0.0.1");
    for (const each of [socket, inner]) {
      sockets.add(each.on("error", () => {}).on("close", () => sockets.delete(each)));
    }
    socket.pipe(inner).pipe(socket);
  });
  const port = await listenOnLoopback(door);
  const dispose = async () => {
    for (const socket of sockets) socket.destroy();
    door.close();
    await once(door, "close");
  };
  return { port, [Symbol.asyncDispose]: dispose };
}
