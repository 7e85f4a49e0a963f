import { Agent, request } from "node:http";
import { startGoogle } from "../test/support/google.ts";
import { bareMintSeconds } from "./bare-mints.ts";
import { compare, median, type Line } from "./line.ts";
import { startProbedServer } from "./probed-server.ts";
import { inTurns, type Tell } from "./turns.ts";

const ROUNDS = 7;
/** Of what takes longer. */
const FEW_ROUNDS = 3;
/** More at a time would wait longer than the mint timeout for their turn. */
const MOST_AT_ONCE = 1000;
/** What is loaded and compiled with the first mints is no audience's own. */
const WARM_UP = 50;
const MAX_BLOCK_MS = 20;

/** What so many audiences took. */
interface Filling {
  readonly count: number;
  readonly seconds: number;
  readonly heapBytes: number;
  readonly residentBytes: number;
  /** While all were asked for and minted. */
  readonly longestBlockMs: number;
  /** While all were asked for once more. */
  readonly longestWarmBlockMs: number;
}

/** Memory and time per audience, and what many cold ones at once do to the event loop. */
export async function benchAudiences(tell: Tell): Promise<readonly Line[]> {
  await using google = await startGoogle({ services: [] });
  const { keyFile } = google;
  const { few, many } = await inTurns(
    { few: () => fill(keyFile, 10), many: () => fill(keyFile, 10_000) },
    { rounds: FEW_ROUNDS, tell: (step) => tell(`10 and 10,000, ${step}`) },
  );
  const { thousand, library } = await inTurns(
    { thousand: () => fill(keyFile, 1000), library: () => bareMintSeconds(keyFile, 1000) },
    { rounds: ROUNDS, tell: (step) => tell(`1,000, ${step}`) },
  );
  const perSecond = thousand.map(({ count, seconds }) => count / seconds);
  const ofLibrary = library.map((seconds) => 1000 / seconds);
  const blocks = thousand.map(({ longestBlockMs }) => longestBlockMs);
  const warmBlocks = thousand.map(({ longestWarmBlockMs }) => longestWarmBlockMs);
  const block = "longest block of the event loop, 1,000 cold audiences at once";
  return [
    ...[few, thousand, many].flatMap(perAudience),
    compare(
      "1,000 cold audiences at once against google-auth-library alone, mints/s",
      perSecond,
      ofLibrary,
      {
        unit: "mints/s",
      },
    ),
    { what: block, runs: blocks, unit: "ms", goal: { atMost: MAX_BLOCK_MS } },
    compare(`${block}, against the same when cached`, blocks, warmBlocks, { unit: "ms" }),
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

/** Has a new server mint for so many audiences that it does not know, 1,000 at once at most. */
async function fill(keyFile: string, count: number): Promise<Filling> {
  const flags = ["--audience=https://a.run.app", "--allow-audience=https://*.run.app"];
  const room = `--max-audiences=${WARM_UP + count}`;
  await using probed = await startProbedServer([`--credentials=${keyFile}`, room, ...flags]);
  const { url } = probed.server;
  await askForAll(url, "warm", WARM_UP);
  const before = await probed.read();
  const startedMs = performance.now();
  await askForAll(url, "cold", count);
  const seconds = (performance.now() - startedMs) / 1000;
  const after = await probed.read();
  await askForAll(url, "cold", count);
  const warm = await probed.read();
  return {
    ...after,
    count,
    seconds,
    heapBytes: after.heapBytes - before.heapBytes,
    longestWarmBlockMs: warm.longestBlockMs,
  };
}

/** Throws an Error when a check has no token. */
async function askForAll(url: string, name: string, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  let next = 0;
  const work = async () => {
    while (next < count) {
      const status = await check(url, `https://${name}-${next++}.run.app`, agent);
      if (status !== 200) throw new Error(`a check was answered ${status}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, MOST_AT_ONCE) }, work));
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
