import { parseArgs } from "node:util";
import { receive, sendPattern } from "../support/byte-pattern.ts";
import { endRequests } from "../support/ended-requests.ts";
import { startTcpPairs, type TcpPairs } from "../support/tcp-pairs.ts";
import { startTunnel, type Tunnel } from "../support/tunnel.ts";
import { MATRIX, ROWS, SLOW_ROWS } from "../support/tunnel-matrix.ts";

const HELP = `Usage: npm run soak:tunnel [-- OPTIONS]

Ends connections through shared tunnels in every way, N times each, with 20 kB, 1 MiB and 64 MiB,
with checks and with push, for 1 and for 20 streams per tunnel. Exits with 0 if nothing was lost.

  --runs N          times that each row runs with each size (200)
  --minutes N       starts no connection after N minutes, and says how often each row ran
  --client NAME     tunnel-client or tunnel-client-push (both)
  --streams N       streams per tunnel (1 and 20)
  --size SIZE       "20 kB", "1 MiB" or "64 MiB" (all)
  --row TEXT        only rows whose name contains TEXT
  --not-row TEXT    no rows whose name contains TEXT
`;
const CLIENTS = ["tunnel-client", "tunnel-client-push"] as const;
const SIZES = { "20 kB": 20_000, "1 MiB": 1_048_576, "64 MiB": 67_108_864 };
/** Connections at a time: more than a tunnel has, or what two cores can do. */
const CONCURRENCY = { "20 kB": 24, "1 MiB": 24, "64 MiB": 3 };
/** They mostly wait. */
const SLOW_CONCURRENCY = 8;
const END_OF_REQUEST = "Cloud Run ends the request";

const print = (text: string) => void process.stdout.write(`${text}\n`);

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "200" },
    minutes: { type: "string", default: "1440" },
    client: { type: "string" },
    streams: { type: "string" },
    size: { type: "string" },
    row: { type: "string", default: "" },
    "not-row": { type: "string" },
    help: { type: "boolean" },
  },
});
if (values.help === true) print(HELP);
else process.exitCode = await soak(Number(values.runs), Number(values.minutes));

interface Attempts extends AsyncDisposable {
  readonly all: readonly Attempt[];
  /** Resolves with what happened to a connection that is open from the start. */
  readonly bystander: () => Promise<string | undefined>;
  /** What Envoy has logged since the last call. */
  readonly log: () => readonly string[];
}

interface Attempt {
  readonly name: string;
  readonly concurrency: number;
  /** Resolves with what went wrong. */
  readonly run: () => Promise<string | undefined>;
}

/** Runs every attempt so many times. Resolves with the exit code. */
async function soak(runs: number, minutes: number): Promise<number> {
  if (!(Number.isInteger(runs) && runs >= 1 && minutes > 0)) {
    process.stderr.write("--runs, --minutes: must be numbers above 0\n");
    return 2;
  }
  const endMs = performance.now() + minutes * 60_000;
  const kinds = CLIENTS.filter((each) => each === (values.client ?? each)).flatMap((client) =>
    (values.streams === undefined ? [1, 20] : [Number(values.streams)]).map((streams) => ({
      client,
      streams,
    })),
  );
  let lost = 0;
  let missing = 0;
  for (const { client, streams } of kinds) {
    print(`${now()} ${client} --streams-per-tunnel ${streams}`);
    await using attempts = await startAttempts(client, streams);
    for (const attempt of attempts.all) {
      const { done, faults } = await repeat(attempt, runs, () => performance.now() < endMs);
      const bystander = attempt.name === END_OF_REQUEST ? undefined : await attempts.bystander();
      if (bystander !== undefined) faults.push(`bystander: ${bystander}`);
      lost += faults.length;
      missing += runs - done;
      print(`${now()}   ${attempt.name}: ${faults.length} of ${done} lost`);
      const log = attempts.log();
      for (const line of faults.length > 0 ? new Set([...faults, ...log]) : [])
        print(`    ${line}`);
    }
  }
  if (missing > 0) print(`${missing} connections were not made`);
  print(lost === 0 ? "nothing was lost" : `${lost} connections lost something`);
  return lost === 0 && missing === 0 ? 0 : 1;
}

/** Starts a tunnel and returns what to do with it. */
async function startAttempts(client: (typeof CLIENTS)[number], streams: number): Promise<Attempts> {
  await using parts = new AsyncDisposableStack();
  const pairs = parts.use(await startTcpPairs());
  const clientFlags = [`--streams-per-tunnel=${streams}`];
  const options = { client, clientFlags, relay: true, targetPort: pairs.port };
  const tunnel = parts.use(await startTunnel(options));
  // Cloud Run's end ends all connections, so it comes last and without a bystander.
  const endOfRequests = {
    name: END_OF_REQUEST,
    concurrency: 1,
    run: () => endRequests(pairs, tunnel),
  };
  const rows = sizesWanted().flatMap((size) => attemptsOf(size, pairs, tunnel));
  const isWanted = ({ name }: Attempt) =>
    name.includes(values.row) && !(values["not-row"] && name.includes(values["not-row"]));
  let bystander: (() => Promise<string | undefined>) | undefined;
  bystander = await startBystander(pairs, tunnel.port);
  let logged = 0;
  const all = parts.move();
  return {
    all: [...rows, endOfRequests].filter(isWanted),
    bystander: async () => {
      const fault = await bystander?.();
      if (fault === undefined && bystander !== undefined) return undefined;
      bystander = await startBystander(pairs, tunnel.port).catch(() => undefined);
      return fault ?? "none could be made";
    },
    log: () => {
      const lines = tunnel.tunnelClient.logs().split("\n");
      return lines
        .slice(logged, (logged = lines.length))
        .filter((line) => line.includes("refused"));
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function sizesWanted(): readonly (keyof typeof SIZES)[] {
  const sizes = Object.keys(SIZES) as (keyof typeof SIZES)[];
  return sizes.filter((size) => size === (values.size ?? size));
}

function attemptsOf(
  size: keyof typeof SIZES,
  pairs: TcpPairs,
  { port }: Tunnel,
): readonly Attempt[] {
  return ROWS.map((row) => ({
    name: `${row}, ${size}`,
    concurrency: size === "64 MiB" && SLOW_ROWS.has(row) ? SLOW_CONCURRENCY : CONCURRENCY[size],
    run: async () => {
      using pair = await pairs.connect(port);
      // The pair is closed on return.
      return await MATRIX[row](pair, SIZES[size]);
    },
  }));
}

/** Makes a connection whose bytes must arrive whatever others do. */
async function startBystander(
  pairs: TcpPairs,
  port: number,
): Promise<() => Promise<string | undefined>> {
  const { client, server } = await pairs.connect(port);
  const end = receive(server);
  end.read();
  let sent = 0;
  return async () => {
    void sendPattern(client, 100, sent);
    sent += 100;
    await Promise.race([end.has(sent), end.over]);
    const { bytes, error } = end.received();
    return bytes === sent ? undefined : (error ?? "ended");
  };
}

function now(): string {
  return new Date().toTimeString().slice(0, 8);
}

/** Runs an attempt so many times, a few at a time, while there is time. */
async function repeat(
  { concurrency, run }: Attempt,
  runs: number,
  isTime: () => boolean,
): Promise<{ readonly done: number; readonly faults: string[] }> {
  const faults: string[] = [];
  let started = 0;
  const work = async () => {
    while (started < runs && isTime()) {
      started += 1;
      const fault = await run().catch(String);
      if (fault !== undefined) faults.push(fault);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return { done: started, faults };
}
