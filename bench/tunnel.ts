import { renderConfig, startEnvoyOn } from "../test/support/envoy-process.ts";
import { startRelay } from "../test/support/relay-process.ts";
import { runOrThrow } from "../test/support/server-process.ts";
import { startTcpService } from "../test/support/tcp-service.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";
import { startFrontEnd } from "./front-end.ts";
import { compare, type Goal, type Line } from "./line.ts";
import { readResidentBytes, withCpu } from "./processes.ts";
import { connectionRate, echoRate, openIdle, roundTripUs, type TunnelLoad } from "./loads.ts";
import { onTcpHops } from "./tcp-hops.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 7;
const IDLE_CONNECTIONS = 2000;

interface Tunnel {
  readonly port: number;
  /** The Envoys of both ends, the auth server and the relay, if there is one. */
  readonly pids: readonly number[];
}

interface Kind {
  readonly what: string;
  readonly unit: string;
  /** What the CPU time is counted for. */
  readonly each: string;
  readonly of: (port: number) => Promise<TunnelLoad>;
}

const KINDS = {
  echo: { what: "echoed bytes/s", unit: "MB/s", each: "MB", of: echoRate },
  roundTrip: { what: "round trip", unit: "µs", each: "round trip", of: roundTripUs },
  open: { what: "connections/s", unit: "connections/s", each: "connection", of: connectionRate },
} satisfies Readonly<Record<string, Kind>>;

/** The tunnels that are compared; each has its own processes. */
const TUNNELS = {
  check: { client: "tunnel-client" },
  push: { client: "tunnel-client-push" },
  hops: { client: "tunnel-client", isOnHops: true },
  oneKey: { client: "tunnel-client", sessionKeys: 1 },
  shared1: { client: "tunnel-client", streams: 1 },
  shared4: { client: "tunnel-client", streams: 4 },
  shared20: { client: "tunnel-client", streams: 20 },
  shared100: { client: "tunnel-client", streams: 100 },
} satisfies Readonly<Record<string, Shape>>;
type Name = keyof typeof TUNNELS;

interface Shape {
  readonly client: string;
  /** Connections per tunnel, with a relay at the server's end; without, each has its own tunnel. */
  readonly streams?: number;
  /** How many TLS sessions the client can resume; by default as many as the config says. */
  readonly sessionKeys?: number;
  /** Whether loopback TCP ports connect the layers. */
  readonly isOnHops?: boolean;
}

const COMPARISONS: readonly Comparison[] = [
  {
    what: "tunnel-client-push against tunnel-client",
    of: "push",
    to: "check",
    goals: { echo: { atLeast: 1 }, roundTrip: { atMost: 1 }, open: { atLeast: 1 } },
  },
  {
    what: "tunnel-client against the same on TCP hops",
    of: "check",
    to: "hops",
    goals: { echo: { atLeast: 1 }, roundTrip: { atMost: 1 }, open: { atLeast: 1 } },
  },
  {
    what: "tunnel-client against the same with Envoy's default of one session key",
    of: "check",
    to: "oneKey",
  },
  { what: "1 stream per tunnel against tunnel-client", of: "shared1", to: "check" },
  { what: "4 streams per tunnel against tunnel-client", of: "shared4", to: "check" },
  { what: "20 streams per tunnel against tunnel-client", of: "shared20", to: "check" },
  {
    what: "20 streams per tunnel against tunnel-client with one session key",
    of: "shared20",
    to: "oneKey",
    goals: { open: { atLeast: 3.5 } },
  },
  { what: "100 streams per tunnel against tunnel-client", of: "shared100", to: "check" },
];

interface Comparison {
  readonly what: string;
  readonly of: Name;
  readonly to: Name;
  readonly goals?: Readonly<Partial<Record<keyof typeof KINDS, Goal>>>;
}

/** Compares tunnels by how they get their token, share a session and connect their layers. */
export async function benchTunnel(onStep: OnStep): Promise<readonly Line[]> {
  await using parts = new AsyncDisposableStack();
  const starter = await prepare(parts);
  const tunnels = new Map<Name, Tunnel>();
  const memory: Line[] = [];
  for (const name of Object.keys(TUNNELS) as Name[]) {
    onStep(`starting ${describe(TUNNELS[name])}`);
    const tunnel = await starter(TUNNELS[name]);
    tunnels.set(name, tunnel);
    if (name === "check" || name.startsWith("shared")) {
      onStep(`${describe(TUNNELS[name])}: ${IDLE_CONNECTIONS} idle connections`);
      memory.push(await measureMemory(describe(TUNNELS[name]), tunnel));
    }
  }
  const lines: Line[] = [];
  for (const [name, kind] of Object.entries(KINDS) as [keyof typeof KINDS, Kind][]) {
    const measures = [...tunnels].map(
      ([each, tunnel]) => [each, () => load(kind, tunnel)] as const,
    );
    const costs = await interleave(
      Object.fromEntries(measures) as Record<Name, () => Promise<Cost>>,
      { rounds: ROUNDS, onStep: (step) => onStep(`${kind.what}, ${step}`) },
    );
    for (const { what, of, to, goals } of COMPARISONS) {
      lines.push(...compareTunnels(what, kind, costs[of], costs[to], goals?.[name]));
    }
  }
  return [...lines, ...memory];
}

const describe = ({ client, streams }: Shape): string =>
  streams === undefined ? client : `${streams} stream${streams === 1 ? "" : "s"} per tunnel`;

/** Measures what an idle connection adds to the resident memory of the tunnel's processes. */
async function measureMemory(what: string, { port, pids }: Tunnel): Promise<Line> {
  // The first connections bring memory that is not theirs.
  await connectionRate(port);
  const beforeBytes = await readResidentBytes(pids);
  using idle = await openIdle(port, IDLE_CONNECTIONS);
  const perConnection = ((await readResidentBytes(pids)) - beforeBytes) / idle.count;
  return {
    what: `${what}, memory per idle connection`,
    runs: [perConnection / 1000],
    unit: "kB",
    figures: `${idle.count} connections, all processes of both ends`,
  };
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
  { what: measured, unit, each }: Kind,
  of: readonly Cost[],
  to: readonly Cost[],
  goal: Goal | undefined,
): readonly Line[] {
  const figures = (costs: readonly Cost[]) => costs.map(({ figure }) => figure);
  const cpu = (costs: readonly Cost[]) => costs.map(({ cpuUs }) => cpuUs);
  return [
    compare(`${what}, ${measured}`, figures(of), figures(to), { unit, ...(goal && { goal }) }),
    compare(`${what}, CPU per ${each}`, cpu(of), cpu(to), { unit: "µs" }),
  ];
}

/** Starts the TCP server. Resolves with a function that starts a tunnel to it. */
async function prepare(parts: AsyncDisposableStack): Promise<(shape: Shape) => Promise<Tunnel>> {
  const certs = parts.use(await makeTemporaryFolder());
  await runOrThrow(["certs", certs.path]);
  const certDir = `--cert-dir=${certs.path}`;
  const { port } = parts.use(await startTcpService());
  const target = `127.0.0.1:${port}`;

  return async ({ client, streams, sessionKeys, isOnHops = false }) => {
    const start = async (name: string, flags: readonly string[]) => {
      const shipped = await renderConfig(name, [...flags, certDir]);
      const config = isOnHops ? await onTcpHops(shipped) : shipped;
      return parts.use(await startEnvoyOn(withSessionKeys(config, sessionKeys), name));
    };
    const relay = streams === undefined ? undefined : parts.use(await startRelay(target));
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
