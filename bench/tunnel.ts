import { renderConfig, startEnvoy, startEnvoyOn } from "../test/support/envoy-process.ts";
import { runOrThrow } from "../test/support/server-process.ts";
import { startTcpService } from "../test/support/tcp-service.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";
import { startFrontEnd } from "./front-end.ts";
import { compare, type Goal, type Line } from "./line.ts";
import { echoRate, roundTripUs, tunnelRate } from "./loads.ts";
import { onTcpHops } from "./tcp-hops.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 9;

interface Ports {
  readonly check: number;
  readonly push: number;
  readonly hops: number;
}

/** Compares tunnels by how they get their token and by how their layers are connected. */
export async function benchTunnel(onStep: OnStep): Promise<readonly Line[]> {
  await using parts = new AsyncDisposableStack();
  const ports = await startTunnels(parts);
  const measure = async (what: string, of: (port: number) => Promise<number>) => {
    const measures = {
      check: () => of(ports.check),
      push: () => of(ports.push),
      hops: () => of(ports.hops),
    };
    return interleave(measures, { rounds: ROUNDS, onStep: (step) => onStep(`${what}, ${step}`) });
  };
  const kinds = [
    { what: "echoed bytes/s", unit: "MB/s", goal: { atLeast: 1 }, of: echoRate },
    { what: "round trip", unit: "µs", goal: { atMost: 1 }, of: roundTripUs },
    { what: "connections/s", unit: "connections/s", goal: { atLeast: 1 }, of: tunnelRate },
  ] satisfies readonly {
    what: string;
    unit: string;
    goal: Goal;
    of: (port: number) => Promise<number>;
  }[];
  const lines: Line[] = [];
  for (const { what, of, ...words } of kinds) {
    const { check, push, hops } = await measure(what, of);
    lines.push(
      compare(`tunnel-client-push against tunnel-client, ${what}`, push, check, words),
      compare(`tunnel-client against the same on TCP hops, ${what}`, check, hops, words),
    );
  }
  return lines;
}

/** Starts each kind of tunnel in front of the same TCP server. */
async function startTunnels(parts: AsyncDisposableStack): Promise<Ports> {
  const certs = parts.use(await makeTemporaryFolder());
  await runOrThrow(["certs", certs.path]);
  const certDir = `--cert-dir=${certs.path}`;
  const { port: target } = parts.use(await startTcpService());
  const serverFlags = ["--port=0", `--target=127.0.0.1:${target}`, certDir];

  const server = parts.use(await startEnvoy("tunnel-server", serverFlags));
  const frontEnd = parts.use(await startFrontEnd(server.port("http")));
  const flags = [...frontEnd.flags, certDir];

  const startOnHops = async (name: string, its: readonly string[]) =>
    parts.use(
      await startEnvoyOn(await onTcpHops(await renderConfig(name, its)), `${name} on hops`),
    );
  const hopsServer = await startOnHops("tunnel-server", serverFlags);
  const hopsFrontEnd = parts.use(await startFrontEnd(hopsServer.port("http")));
  const hops = await startOnHops("tunnel-client", [...hopsFrontEnd.flags, certDir]);

  return {
    check: parts.use(await startEnvoy("tunnel-client", flags)).port("tcp"),
    push: parts.use(await startEnvoy("tunnel-client-push", flags)).port("tcp"),
    hops: hops.port("tcp"),
  };
}
