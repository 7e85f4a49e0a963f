import {
  renderConfig,
  startEnvoy,
  startEnvoyOn,
  type EnvoyProcess,
} from "../test/support/envoy-process.ts";
import { runOrThrow } from "../test/support/server-process.ts";
import { startTcpService } from "../test/support/tcp-service.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";
import { startFrontEnd } from "./front-end.ts";
import { compare, type Goal, type Line } from "./line.ts";
import { withCpu } from "./cpu.ts";
import { connectionRate, echoRate, roundTripUs, type TunnelLoad } from "./loads.ts";
import { onTcpHops } from "./tcp-hops.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 7;

interface Tunnel {
  readonly port: number;
  /** The Envoys of both ends and the auth server. */
  readonly pids: readonly number[];
}

interface Kind {
  readonly what: string;
  readonly unit: string;
  readonly goal: Goal;
  /** What the CPU time is counted for. */
  readonly each: string;
  readonly of: (port: number) => Promise<TunnelLoad>;
}

const KINDS: readonly Kind[] = [
  { what: "echoed bytes/s", unit: "MB/s", goal: { atLeast: 1 }, each: "MB", of: echoRate },
  { what: "round trip", unit: "µs", goal: { atMost: 1 }, each: "round trip", of: roundTripUs },
  {
    what: "connections/s",
    unit: "connections/s",
    goal: { atLeast: 1 },
    each: "connection",
    of: connectionRate,
  },
];

/** Compares tunnels by how they get their token and by how their layers are connected. */
export async function benchTunnel(onStep: OnStep): Promise<readonly Line[]> {
  await using parts = new AsyncDisposableStack();
  onStep("starting");
  const tunnels = await startTunnels(parts);
  const lines: Line[] = [];
  for (const kind of KINDS) {
    const loads = await interleave(
      {
        check: () => load(kind, tunnels.check),
        push: () => load(kind, tunnels.push),
        hops: () => load(kind, tunnels.hops),
      },
      { rounds: ROUNDS, onStep: (step) => onStep(`${kind.what}, ${step}`) },
    );
    const { check, push, hops } = loads;
    lines.push(
      ...compareTunnels("tunnel-client-push against tunnel-client", kind, push, check),
      ...compareTunnels("tunnel-client against the same on TCP hops", kind, check, hops),
    );
  }
  return lines;
}

interface Cost {
  readonly figure: number;
  readonly cpuUs: number;
}

async function load({ of }: Kind, { port, pids }: Tunnel): Promise<Cost> {
  const { result, usedUs } = await withCpu(pids, () => of(port));
  return { figure: result.figure, cpuUs: usedUs / result.count };
}

function compareTunnels(
  what: string,
  { what: measured, unit, goal, each }: Kind,
  of: readonly Cost[],
  to: readonly Cost[],
): readonly Line[] {
  const figures = (costs: readonly Cost[]) => costs.map(({ figure }) => figure);
  const cpu = (costs: readonly Cost[]) => costs.map(({ cpuUs }) => cpuUs);
  return [
    compare(`${what}, ${measured}`, figures(of), figures(to), { unit, goal }),
    compare(`${what}, CPU per ${each}`, cpu(of), cpu(to), { unit: "µs" }),
  ];
}

/** Starts each kind of tunnel in front of the same TCP server. */
async function startTunnels(parts: AsyncDisposableStack) {
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

  const check = parts.use(await startEnvoy("tunnel-client", flags));
  const push = parts.use(await startEnvoy("tunnel-client-push", flags));
  const describe = (client: EnvoyProcess, end = server, { authServer } = frontEnd): Tunnel => ({
    port: client.port("tcp"),
    pids: [client.process.pid ?? 0, end.process.pid ?? 0, authServer.pid],
  });
  return {
    check: describe(check),
    push: describe(push),
    hops: describe(hops, hopsServer, hopsFrontEnd),
  };
}
