import type { CloudRunService } from "./cloud-run.ts";
import { startEnvoy, type EnvoyProcess } from "./envoy-process.ts";
import { startGoogle, type Google } from "./google.ts";
import { startServer, type ServerProcess } from "./server-process.ts";

/** The private service behind the gateway. */
export const API_HOST = "api-abc123-ew.a.run.app";
export const API_AUDIENCE = `https://${API_HOST}`;

export interface GatewayOptions {
  /** Called for each part when it has started. */
  readonly onStep?: (what: string) => void;
  /** The service's container. */
  readonly container: Pick<CloudRunService, "containerPort" | "containerProtocol" | "public">;
  /** The Envoy config; `gateway` by default. */
  readonly config?: "gateway" | "gateway-push";
  /** Further flags of `serve`. */
  readonly serveFlags?: readonly string[];
  /** Further flags of `envoy`. */
  readonly envoyFlags?: readonly string[];
  /** Changes the config before Envoy starts. */
  readonly edit?: (config: string) => string;
  readonly tokenLifeSeconds?: number;
  /** Further Cloud Run services. */
  readonly services?: readonly CloudRunService[];
}

/** The whole path of a request up to the container; only Google's parts are stand-ins. */
export interface Gateway extends AsyncDisposable {
  readonly google: Google;
  readonly authServer: ServerProcess;
  readonly envoy: EnvoyProcess;
  /** Where clients send requests. */
  readonly port: number;
  readonly url: string;
}

/** Starts the gateway in front of a private service's container. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { container, config = "gateway", edit, services = [], onStep = () => {} } = options;
  const { serveFlags = [], envoyFlags = [] } = options;
  await using parts = new AsyncDisposableStack();
  const service = { host: API_HOST, audiences: [API_AUDIENCE], ...container };
  const google = parts.use(await startGoogle({ ...options, services: [service, ...services] }));
  const authServer = parts.use(
    await startServer([
      `--credentials=${google.keyFile}`,
      `--audience=${API_AUDIENCE}`,
      ...serveFlags,
    ]),
  );
  onStep(`auth server on ${authServer.address}`);
  const envoy = parts.use(
    await startEnvoy(
      config,
      [
        ...google.serviceFlags(API_HOST),
        "--listen=127.0.0.1:0",
        `--authz=${authServer.address}`,
        ...envoyFlags,
      ],
      edit,
    ),
  );
  const port = envoy.port("http");
  onStep(`${config} Envoy on 127.0.0.1:${port}`);
  const all = parts.move();
  return {
    google,
    authServer,
    envoy,
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
