import { compare, type Goal, type Line } from "./line.ts";
import { readResidentBytes, withCpu } from "./processes.ts";
import { describeShape, prepareTunnels, type Shape, type Tunnel } from "./tunnel-shapes.ts";
import { startTcpLoad, type TcpLoad } from "./tcp-load.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 7;
const IDLE_CONNECTIONS = 2000;

interface Kind {
  readonly what: string;
  readonly unit: string;
  /** What the CPU time is counted for. */
  readonly each: string;
  readonly load: "echoRate" | "roundTripUs" | "connectionRate";
}

const KINDS = {
  echo: { what: "echoed bytes/s", unit: "MB/s", each: "MB", load: "echoRate" },
  roundTrip: { what: "round trip", unit: "µs", each: "round trip", load: "roundTripUs" },
  open: {
    what: "connections/s",
    unit: "connections/s",
    each: "connection",
    load: "connectionRate",
  },
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
  shared20Bare: { client: "tunnel-client", streams: 20, isRelayed: false },
} satisfies Readonly<Record<string, Shape>>;
type Name = keyof typeof TUNNELS;

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
  {
    what: "20 streams per tunnel without a relay against tunnel-client",
    of: "shared20Bare",
    to: "check",
  },
  {
    what: "20 streams per tunnel without a relay against tunnel-client with one session key",
    of: "shared20Bare",
    to: "oneKey",
  },
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
  const load = parts.use(await startTcpLoad());
  const starter = await prepareTunnels(parts, load.target);
  const tunnels = new Map<Name, Tunnel>();
  const memory: Line[] = [];
  for (const name of Object.keys(TUNNELS) as Name[]) {
    onStep(`starting ${describeShape(TUNNELS[name])}`);
    const tunnel = await starter(TUNNELS[name]);
    tunnels.set(name, tunnel);
    if (name === "check" || name.startsWith("shared")) {
      onStep(`${describeShape(TUNNELS[name])}: ${IDLE_CONNECTIONS} idle connections`);
      memory.push(await measureMemory(describeShape(TUNNELS[name]), tunnel, load));
    }
  }
  const lines: Line[] = [];
  for (const [name, kind] of Object.entries(KINDS) as [keyof typeof KINDS, Kind][]) {
    const measures = [...tunnels].map(
      ([each, tunnel]) => [each, () => measure(load, kind, tunnel)] as const,
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

/** Measures what an idle connection adds to the resident memory of the tunnel's processes. */
async function measureMemory(what: string, { port, pids }: Tunnel, load: TcpLoad): Promise<Line> {
  // The first connections bring memory that is not theirs.
  await load.connectionRate(port);
  const beforeBytes = await readResidentBytes(pids);
  await using idle = await load.openIdle(port, IDLE_CONNECTIONS);
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

async function measure(load: TcpLoad, kind: Kind, { port, pids }: Tunnel): Promise<Cost> {
  const { result, usedUs } = await withCpu(pids, () => load[kind.load](port));
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
