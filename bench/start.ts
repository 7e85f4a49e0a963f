// Start time and idle memory of the bundle, as the image runs it, against a bare node:http server.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { startGoogle } from "../test/support/google.ts";
import { ROOT } from "../test/support/server-process.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";

const RUNS = 21;
/** After its first token and this pause a server counts as idle. */
const IDLE_MS = 1000;
const BUNDLE = join(ROOT, "dist/idtoken-authz.cjs");

/** Written as anybody writes it, and as this project's sources are: as an ES module. */
const BARE = `
import { createServer } from "node:http";
const server = createServer((request, response) => response.end());
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ listen: "127.0.0.1:" + server.address().port }));
});
`;

interface Subject {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** What it logs once it has come to rest. */
  readonly settled: string;
}

interface Sample {
  readonly startMs: number;
  readonly idleMb: number;
}

await using parts = new AsyncDisposableStack();
const subjects = await prepare();
const samples = new Map<string, Sample[]>(subjects.map(({ name }) => [name, []]));
for (let run = 0; run < RUNS; run += 1) {
  for (const subject of subjects) samples.get(subject.name)?.push(await measure(subject));
}
report();

async function prepare(): Promise<readonly Subject[]> {
  const folder = parts.use(await makeTemporaryFolder());
  const google = parts.use(await startGoogle({ services: [] }));
  const bare = join(folder.path, "bare.mjs");
  await writeFile(bare, BARE);
  const dockerfile = await readFile(join(ROOT, "Dockerfile"), "utf8");
  const [, options = ""] = /NODE_OPTIONS="([^"]*)"/.exec(dockerfile) ?? [];
  const env = { NODE_OPTIONS: options, NODE_COMPILE_CACHE: join(folder.path, "compiled") };
  // The bundle's first line tells the kernel how to run it.
  const [, flag = ""] = /^#!\S+ (\S+)\n/.exec(await readFile(BUNDLE, "utf8")) ?? [];
  const program = [flag, BUNDLE, "serve"];
  // As the image's build does it.
  await once(start({ args: [...program, "--help"], env }), "close");
  const serve = [...program, "--listen=127.0.0.1:0", `--credentials=${google.keyFile}`];
  const withToken = [...serve, "--audience=https://a.run.app"];
  return [
    { name: "bare node:http", args: [bare], env: {}, settled: '"listen"' },
    { name: "idtoken-authz", args: serve, env, settled: '"listening"' },
    { name: "idtoken-authz, one token", args: withToken, env, settled: '"minted an ID token"' },
  ];
}

function start({ args, env }: Pick<Subject, "args" | "env">): ChildProcess {
  return spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
}

async function measure(subject: Subject): Promise<Sample> {
  const startedMs = performance.now();
  const child = start(subject);
  const lines = createInterface(child.stdout ?? process.stdin)[Symbol.asyncIterator]();
  const nextWith = async (text: string): Promise<string> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${subject.name} ended early`);
      if (value.includes(text)) return value;
    }
  };
  const line = await nextWith('"listen"');
  const { listen } = JSON.parse(line) as { listen: string };
  const { status } = await fetch(`http://${listen}/livez`);
  if (status !== 200) throw new Error(`${subject.name} answered ${status}`);
  const startMs = performance.now() - startedMs;
  if (!line.includes(subject.settled)) await nextWith(subject.settled);
  await setTimeout(IDLE_MS);
  const idleMb = await residentMb(child.pid ?? 0);
  child.kill("SIGKILL");
  await once(child, "close");
  return { startMs, idleMb };
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

function report(): void {
  const base = {
    startMs: spread("bare node:http", "startMs"),
    idleMb: spread("bare node:http", "idleMb"),
  };
  console.log(`${RUNS} interleaved runs: median (lowest to highest), ratio of the medians`);
  for (const { name } of subjects) {
    const startMs = spread(name, "startMs");
    const idleMb = spread(name, "idleMb");
    console.log(
      `${name.padEnd(26)}  start ${format(startMs)} ms, ${(startMs.median / base.startMs.median).toFixed(2)}` +
        `  idle ${format(idleMb)} MB, ${(idleMb.median / base.idleMb.median).toFixed(2)}`,
    );
  }
}

function spread(name: string, of: keyof Sample) {
  const sorted = (samples.get(name) ?? []).map((each) => each[of]).sort((a, b) => a - b);
  return { median: sorted[RUNS >> 1] ?? NaN, low: sorted[0] ?? NaN, high: sorted.at(-1) ?? NaN };
}

function format({ median, low, high }: ReturnType<typeof spread>): string {
  return `${median.toFixed(0)} (${low.toFixed(0)} to ${high.toFixed(0)})`;
}
