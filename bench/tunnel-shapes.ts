import { renderConfig, startEnvoyOn } from "../test/support/envoy-process.ts";
import { startRelay } from "../test/support/relay-process.ts";
import { runOrThrow } from "../test/support/server-process.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";
import { startFrontEnd } from "./front-end.ts";
import { onTcpHops } from "./tcp-hops.ts";

/** A running tunnel. */
export interface Tunnel {
  readonly port: number;
  /** The Envoys of both ends, the auth server and the relay, if there is one. */
  readonly pids: readonly number[];
}

/** What a tunnel consists of. */
export interface Shape {
  readonly client: string;
  /** Connections per tunnel; by default each has its own. */
  readonly streams?: number;
  /** Whether shared tunnels have a relay at the server's end. */
  readonly isRelayed?: boolean;
  /** How many TLS sessions the client can resume; by default as many as the config says. */
  readonly sessionKeys?: number;
  /** Whether loopback TCP ports connect the layers. */
  readonly isOnHops?: boolean;
}

/** Names a shape by what differs between the tunnels that are compared. */
export function describeShape({ client, streams, isRelayed = true }: Shape): string {
  if (streams === undefined) return client;
  const shared = `${streams} stream${streams === 1 ? "" : "s"} per tunnel`;
  return isRelayed ? shared : `${shared} without a relay`;
}

/** Makes certificates. Resolves with a function that starts a tunnel to the TCP server. */
export async function prepareTunnels(
  parts: AsyncDisposableStack,
  target: string,
): Promise<(shape: Shape) => Promise<Tunnel>> {
  const certs = parts.use(await makeTemporaryFolder());
  await runOrThrow(["certs", certs.path]);
  const certDir = `--cert-dir=${certs.path}`;

  return async ({ client, streams, isRelayed = true, sessionKeys, isOnHops = false }) => {
    const start = async (name: string, flags: readonly string[]) => {
      const shipped = await renderConfig(name, [...flags, certDir]);
      const config = isOnHops ? await onTcpHops(shipped) : shipped;
      return parts.use(await startEnvoyOn(withSessionKeys(config, sessionKeys), name));
    };
    const relay =
      streams === undefined || !isRelayed ? undefined : parts.use(await startRelay(target));
    const server = await start("tunnel-server", [
      "--port=0",
      `--target=${target}`,
      ...(relay === undefined ? [] : [`--relay=${relay.address}`]),
    ]);
    const frontEnd = parts.use(await startFrontEnd(server.port("http")));
    const ours = await start(client, [
      ...frontEnd.flags,
      ...(streams === undefined ? [] : [`--streams-per-tunnel=${streams}`]),
    ]);
    const programs = [ours.process, server.process, frontEnd.authServer, relay];
    return {
      port: ours.port("tcp"),
      pids: programs.flatMap((program) => program?.pid ?? []),
    };
  };
}

function withSessionKeys(config: string, count: number | undefined): string {
  return count === undefined
    ? config
    : config.replace(/max_session_keys: \d+/, `max_session_keys: ${count}`);
}
