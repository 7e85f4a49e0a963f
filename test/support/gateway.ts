import type { CloudRunService } from "./cloud-run.ts";
import { startEnvoy, type EnvoyProcess } from "./envoy-process.ts";
import { startGoogle, type Google } from "./google.ts";
import { startServer, type ServerProcess } from "./server-process.ts";

/** The private service behind the gateway. */
export const API_HOST = "api-abc123-ew.a.run.app";
export const API_AUDIENCE = `https://${API_HOST}`;

export interface GatewayOptions {
  /** Its container. */
  readonly container: Pick<CloudRunService, "containerPort" | "containerProtocol" | "public">;
  /** Further flags of the auth server, and of `envoy gateway`. */
  readonly serveFlags?: readonly string[];
  readonly envoyFlags?: readonly string[];
}

/** The whole path of a request, up to the container: each part is the real one, but for Google's. */
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
  const { container, serveFlags = [], envoyFlags = [] } = options;
  await using parts = new AsyncDisposableStack();
  const service = { host: API_HOST, audiences: [API_AUDIENCE], ...container };
  const google = parts.use(await startGoogle({ services: [service] }));
  const authServer = parts.use(
    await startServer([
      `--credentials=${google.keyFile}`,
      `--audience=${API_AUDIENCE}`,
      ...serveFlags,
    ]),
  );
  const envoy = parts.use(
    await startEnvoy("gateway", [
      ...google.serviceFlags(API_HOST),
      "--listen=127.0.0.1:0",
      `--authz=${authServer.address}`,
      ...envoyFlags,
    ]),
  );
  const port = envoy.port("http");
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
