import { Agent, request } from "node:http";
import { startGoogle } from "../test/support/google.ts";
import { bareMintSeconds } from "./bare-mints.ts";
import { compare, type Line } from "./line.ts";
import { startProbedServer } from "./probed-server.ts";
import { inTurns, type Tell } from "./turns.ts";

const ROUNDS = 3;
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
  readonly longestBlockMs: number;
}

/** Memory and time per audience, and what many cold ones at once do to the event loop. */
export async function benchAudiences(tell: Tell): Promise<readonly Line[]> {
  await using google = await startGoogle({ services: [] });
  const { keyFile } = google;
  const { few, thousand, many, library } = await inTurns(
    {
      few: () => fill(keyFile, 10),
      thousand: () => fill(keyFile, 1000),
      many: () => fill(keyFile, 10_000),
      library: () => bareMintSeconds(keyFile, 1000),
    },
    { rounds: ROUNDS, tell },
  );
  const perSecond = thousand.map(({ count, seconds }) => count / seconds);
  const ofLibrary = library.map((seconds) => 1000 / seconds);
  return [
    ...[few, thousand, many].flatMap(perAudience),
    compare(
      "mints of 1,000 cold audiences against google-auth-library alone, mints/s",
      perSecond,
      ofLibrary,
      {
        unit: "mints/s",
      },
    ),
    {
      what: "longest block of the event loop while 1,000 cold audiences are minted at once",
      runs: thousand.map(({ longestBlockMs }) => longestBlockMs),
      unit: "ms",
      goal: { atMost: MAX_BLOCK_MS },
    },
  ];
}

function perAudience(fillings: readonly Filling[]): readonly Line[] {
  const count = fillings[0]?.count.toLocaleString("en") ?? "";
  const resident = fillings.map(({ residentBytes }) => (residentBytes / 1e6).toFixed(0));
  return [
    {
      what: `memory per audience at ${count}`,
      runs: fillings.map((each) => each.heapBytes / each.count / 1000),
      unit: "kB",
      figures: `resident ${resident.join(", ")} MB`,
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
  const { heapBytes, residentBytes, longestBlockMs } = await probed.read();
  return { count, seconds, heapBytes: heapBytes - before.heapBytes, residentBytes, longestBlockMs };
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
