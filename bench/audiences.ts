import { Agent, request } from "node:http";
import { startGoogle } from "../test/support/google.ts";
import { mintBarely } from "./bare-mints.ts";
import { withCpu } from "./processes.ts";
import { compare, median, type Line } from "./line.ts";
import { startProbedServer } from "./probed-server.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 7;
/** For measurements that take longer. */
const FEW_ROUNDS = 3;
/** With more concurrent checks, some would exceed the mint timeout while they wait in the queue. */
const CONCURRENCY = 1000;
/** The first mints load and compile code, which must not be counted as memory per audience. */
const WARM_UP = 50;
const MAX_BLOCK_MS = 20;

/** The time, CPU time and memory used for `count` audiences. */
interface Filling {
  readonly count: number;
  readonly seconds: number;
  readonly cpuUs: number;
  readonly heapBytes: number;
  readonly residentBytes: number;
  /** The longest block of the event loop while all tokens were minted. */
  readonly longestBlockMs: number;
  /** The same while all of them were read from the cache. */
  readonly longestWarmBlockMs: number;
}

/** Measures memory and time per audience, and how many concurrent mints block the event loop. */
export async function benchAudiences(onStep: OnStep): Promise<readonly Line[]> {
  await using google = await startGoogle({ services: [] });
  const { keyFile } = google;
  const { few, many } = await interleave(
    { few: () => fill(keyFile, 10), many: () => fill(keyFile, 10_000) },
    { rounds: FEW_ROUNDS, onStep: (step) => onStep(`10 and 10,000, ${step}`) },
  );
  const { thousand, library } = await interleave(
    { thousand: () => fill(keyFile, 1000), library: () => mintBarely(keyFile, 1000) },
    { rounds: ROUNDS, onStep: (step) => onStep(`1,000, ${step}`) },
  );
  const perSecond = thousand.map(({ count, seconds }) => count / seconds);
  const ofLibrary = library.map(({ seconds }) => 1000 / seconds);
  const blocks = thousand.map(({ longestBlockMs }) => longestBlockMs);
  const warmBlocks = thousand.map(({ longestWarmBlockMs }) => longestWarmBlockMs);
  const block = "longest block of the event loop, 1,000 concurrent cold audiences";
  return [
    ...[few, thousand, many].flatMap(perAudience),
    compare(
      "1,000 concurrent cold audiences against google-auth-library alone, mints/s",
      perSecond,
      ofLibrary,
      {
        unit: "mints/s",
      },
    ),
    compare(
      "1,000 concurrent cold audiences against google-auth-library alone, CPU per mint",
      thousand.map(({ count, cpuUs }) => cpuUs / count),
      library.map(({ cpuUs }) => cpuUs / 1000),
      { unit: "µs" },
    ),
    { what: block, runs: blocks, unit: "ms", goal: { atMost: MAX_BLOCK_MS } },
    compare(`${block}, against cached ones`, blocks, warmBlocks, { unit: "ms" }),
  ];
}

function perAudience(fillings: readonly Filling[]): readonly Line[] {
  const count = fillings[0]?.count.toLocaleString("en") ?? "";
  const residentMb = median(fillings.map(({ residentBytes }) => residentBytes / 1e6));
  return [
    {
      what: `memory per audience at ${count}`,
      runs: fillings.map((each) => each.heapBytes / each.count / 1000),
      unit: "kB",
      figures: `${residentMb.toFixed(0)} MB resident`,
    },
    {
      what: `time per cold audience at ${count}`,
      runs: fillings.map((each) => (each.seconds * 1000) / each.count),
      unit: "ms",
    },
  ];
}

/** Starts a server and requests tokens for `count` new audiences, at most 1,000 concurrently. */
async function fill(keyFile: string, count: number): Promise<Filling> {
  const flags = ["--audience=https://a.run.app", "--allow-audience=https://*.run.app"];
  const room = `--max-audiences=${WARM_UP + count}`;
  await using probed = await startProbedServer([`--credentials=${keyFile}`, room, ...flags]);
  const { url } = probed.server;
  await requestAll(url, "warm", WARM_UP);
  const before = await probed.read();
  const startedMs = performance.now();
  const { usedUs } = await withCpu([probed.server.pid], () => requestAll(url, "cold", count));
  const seconds = (performance.now() - startedMs) / 1000;
  const after = await probed.read();
  await requestAll(url, "cold", count);
  const warm = await probed.read();
  return {
    ...after,
    count,
    seconds,
    cpuUs: usedUs,
    heapBytes: after.heapBytes - before.heapBytes,
    longestWarmBlockMs: warm.longestBlockMs,
  };
}

/** Sends a check for each audience. Throws an Error when one gets no token. */
async function requestAll(url: string, name: string, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  let next = 0;
  const work = async () => {
    while (next < count) {
      const status = await check(url, `https://${name}-${next++}.run.app`, agent);
      if (status !== 200) throw new Error(`a check was answered with ${status}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, CONCURRENCY) }, work));
  agent.destroy();
}

function check(url: string, audience: string, agent: Agent): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: { "x-id-token-audience": audience } }, (response) => {
      response.once("end", () => resolve(response.statusCode)).resume();
    })
      .once("error", reject)
      .end();
  });
}
