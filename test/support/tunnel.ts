import { startEnvoy, type EnvoyProcess } from "./envoy-process.ts";
import { startGoogle, type Google } from "./google.ts";
import { runOrThrow, startServer, type ServerProcess } from "./server-process.ts";
import { startRelay, type RelayProcess } from "./relay-process.ts";
import { startTcpService, type TcpService } from "./tcp-service.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

/** The private service at the end of the tunnel. */
export const TUNNEL_HOST = "tunnel-abc123-ew.a.run.app";
export const TUNNEL_AUDIENCE = `https://${TUNNEL_HOST}`;

export interface TunnelOptions {
  /** Called for each part when it has started. */
  readonly onStep?: (what: string) => void;
  /** The client's config; `tunnel-client` by default. */
  readonly client?: "tunnel-client" | "tunnel-client-push" | "tunnel-client-public";
  /** Further flags of `serve`. */
  readonly serveFlags?: readonly string[];
  /** Further flags for `envoy`, at both ends. */
  readonly envoyFlags?: readonly string[];
  /** Further flags for `envoy` at the client's end. */
  readonly clientFlags?: readonly string[];
  /** Whether the tunnel server has a relay; not by default. */
  readonly relay?: boolean;
  /** The TCP server's port on this machine; a server of its own by default. */
  readonly targetPort?: number;
  /** Changes the tunnel server's config before it starts. */
  readonly editServer?: (config: string) => string;
  /** Changes the client's config before it starts. */
  readonly editClient?: (config: string) => string;
  readonly tokenLifeSeconds?: number;
}

/** The whole path of a TCP connection; only Google's parts are stand-ins. */
export interface Tunnel extends TunnelService {
  readonly authServer: ServerProcess;
  readonly tunnelClient: EnvoyProcess;
  /** Where TCP clients connect. */
  readonly port: number;
}

/** The far end of the tunnel, in a private service on the stand-in for Cloud Run. */
export interface TunnelService extends AsyncDisposable {
  readonly google: Google;
  readonly tcpService: TcpService;
  readonly tunnelServer: EnvoyProcess;
  readonly relay: RelayProcess | undefined;
  /** The folder with the certificates of both ends. */
  readonly certDir: string;
}

/** Starts the far end of the tunnel, the TCP server first. */
export async function startTunnelService(options: TunnelOptions = {}): Promise<TunnelService> {
  const { onStep = () => {}, client, envoyFlags = [] } = options;
  await using parts = new AsyncDisposableStack();
  const certs = parts.use(await makeTemporaryFolder());
  await runOrThrow(["certs", certs.path, "--keep-ca-key"]);
  onStep("certificates of both ends, signed by a new CA");

  const tcpService = parts.use(await startTcpService());
  onStep(`TCP server on port ${tcpService.port}`);

  const target = `127.0.0.1:${options.targetPort ?? tcpService.port}`;
  const relay = options.relay === true ? parts.use(await startRelay(target)) : undefined;
  if (relay !== undefined) onStep(`relay on ${relay.address}`);
  const tunnelServer = parts.use(
    await startEnvoy(
      "tunnel-server",
      [
        "--port=0",
        `--target=${target}`,
        `--cert-dir=${certs.path}`,
        ...envoyFlags,
        ...(relay === undefined ? [] : [`--relay=${relay.address}`]),
      ],
      options.editServer,
    ),
  );
  const containerPort = tunnelServer.port("http");
  onStep(`tunnel-server Envoy on the container port, ${containerPort}`);

  const service = {
    host: TUNNEL_HOST,
    audiences: [TUNNEL_AUDIENCE],
    containerPort,
    containerProtocol: "h2c",
    public: client === "tunnel-client-public",
  } as const;
  const google = parts.use(await startGoogle({ ...options, services: [service] }));
  const all = parts.move();
  return {
    google,
    tcpService,
    tunnelServer,
    relay,
    certDir: certs.path,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Starts every part of the tunnel, the far end first. */
export async function startTunnel(options: TunnelOptions = {}): Promise<Tunnel> {
  const { onStep = () => {}, client = "tunnel-client" } = options;
  const { serveFlags = [], envoyFlags = [], clientFlags = [] } = options;
  await using parts = new AsyncDisposableStack();
  const service = parts.use(await startTunnelService(options));
  const { google, certDir } = service;

  const authServer = parts.use(
    await startServer([
      `--credentials=${google.keyFile}`,
      `--audience=${TUNNEL_AUDIENCE}`,
      ...serveFlags,
    ]),
  );
  onStep(`auth server on ${authServer.address}`);

  const tunnelClient = parts.use(
    await startEnvoy(
      client,
      [
        ...google.serviceFlags(TUNNEL_HOST),
        "--listen=127.0.0.1:0",
        `--cert-dir=${certDir}`,
        ...envoyFlags,
        ...clientFlags,
        ...(client === "tunnel-client-public" ? [] : [`--authz=${authServer.address}`]),
      ],
      options.editClient,
    ),
  );
  const port = tunnelClient.port("tcp");
  onStep(`${client} Envoy on 127.0.0.1:${port}`);

  const all = parts.move();
  return {
    ...service,
    authServer,
    tunnelClient,
    port,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
