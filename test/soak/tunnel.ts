import { parseArgs } from "node:util";
import { startTcpPairs, type TcpPairs } from "../support/tcp-pairs.ts";
import { startTunnel } from "../support/tunnel.ts";
import { MATRIX, ROWS, type RowName } from "../support/tunnel-matrix.ts";

const HELP = `Usage: npm run soak:tunnel [-- --runs N]

Ends connections through shared tunnels in every way, N times each (200), with 20 kB, 1 MiB and 64 MiB,
with checks and with push, for 1 and for 20 streams per tunnel. Exits with 0 if nothing was lost.
`;
const SIZES = { "20 kB": 20_000, "1 MiB": 1_048_576, "64 MiB": 67_108_864 };
const KINDS = (["tunnel-client", "tunnel-client-push"] as const).flatMap((client) =>
  [1, 20].map((streams) => ({ client, streams })),
);
/** Connections at a time; large ones one after another. */
const CONCURRENCY = { "20 kB": 4, "1 MiB": 4, "64 MiB": 1 };

const print = (text: string) => void process.stdout.write(`${text}\n`);

const { values } = parseArgs({
  options: { runs: { type: "string", default: "200" }, help: { type: "boolean" } },
});
if (values.help === true) print(HELP);
else process.exitCode = await soak(Number(values.runs));

/** Runs every row so many times. Resolves with the exit code. */
async function soak(runs: number): Promise<number> {
  if (!(Number.isInteger(runs) && runs >= 1)) {
    process.stderr.write("--runs: must be a whole number from 1\n");
    return 2;
  }
  let lost = 0;
  await using pairs = await startTcpPairs();
  for (const { client, streams } of KINDS) {
    print(`${client} --streams-per-tunnel ${streams}`);
    await using tunnel = await startTunnel({
      client,
      clientFlags: [`--streams-per-tunnel=${streams}`],
      relay: true,
      targetPort: pairs.port,
    });
    for (const row of ROWS) {
      for (const size of Object.keys(SIZES) as (keyof typeof SIZES)[]) {
        const faults = await repeat(runs, CONCURRENCY[size], () =>
          run(pairs, tunnel.port, row, SIZES[size]),
        );
        lost += faults.length;
        print(`  ${row}, ${size}: ${faults.length} of ${runs} lost`);
        for (const fault of new Set(faults)) print(`    ${fault}`);
      }
    }
  }
  print(lost === 0 ? "nothing was lost" : `${lost} connections lost something`);
  return lost === 0 ? 0 : 1;
}

async function run(pairs: TcpPairs, port: number, row: RowName, size: number) {
  using pair = await pairs.connect(port);
  // The pair is closed on return.
  return await MATRIX[row](pair, size);
}

/** Runs an attempt so many times, a few at a time. Resolves with the faults. */
async function repeat(
  runs: number,
  concurrency: number,
  attempt: () => Promise<string | undefined>,
): Promise<readonly string[]> {
  const faults: string[] = [];
  let left = runs;
  const work = async () => {
    while (left-- > 0) {
      const fault = await attempt().catch(String);
      if (fault !== undefined) faults.push(fault);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return faults;
}
