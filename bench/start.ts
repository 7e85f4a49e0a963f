import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { startKeyedEndpoint, type KeyedEndpoint } from "../test/support/keyed-endpoint.ts";
import { ROOT } from "../test/support/server-process.ts";
import { compare, type Line } from "./line.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 15;
/** A server counts as idle after its first token and this pause. */
const IDLE_MS = 1000;
const BUNDLE = join(ROOT, "dist/idtoken-authz.cjs");

/** A minimal server, written as an ES module like the sources of this project. */
const BARE = `
import { createServer } from "node:http";
const server = createServer((request, response) => response.end());
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ listen: "127.0.0.1:" + server.address().port }));
});
`;

interface Subject {
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** A part of the log line after which it has nothing left to do. */
  readonly settled: string;
}

interface Sample {
  readonly startMs: number;
  readonly idleMb: number;
}

/** Measures the bundle's start time, from spawn to `/livez`, and idle memory, run as in the image. */
export async function benchStart(onStep: OnStep): Promise<readonly Line[]> {
  onStep("building the bundle");
  await promisify(execFile)(process.execPath, [join(ROOT, "build.ts")]);
  await using keyed = await startKeyedEndpoint();
  const subjects = await prepare(keyed);
  const measures = {
    bare: () => measure(subjects.bare),
    program: () => measure(subjects.program),
    withToken: () => measure(subjects.withToken),
  };
  const samples = await interleave(measures, { rounds: ROUNDS, onStep });
  const start = (of: keyof typeof samples) => samples[of].map(({ startMs }) => startMs);
  const idle = (of: keyof typeof samples) => samples[of].map(({ idleMb }) => idleMb);
  const timeGoal = { unit: "ms", goal: { atMost: 1.6 } };
  const memoryGoal = { unit: "MB", goal: { atMost: 1.5 } };
  const base = "against bare node:http";
  return [
    compare(`the bundle's start ${base}`, start("program"), start("bare"), timeGoal),
    compare(
      `the same with a first token to mint ${base}`,
      start("withToken"),
      start("bare"),
      timeGoal,
    ),
    compare(`the bundle's idle memory ${base}`, idle("program"), idle("bare"), memoryGoal),
    compare(`the same with one token ${base}`, idle("withToken"), idle("bare"), memoryGoal),
  ];
}

async function prepare({ folder, keyFile }: KeyedEndpoint) {
  const bare = join(folder, "bare.mjs");
  await writeFile(bare, BARE);
  const dockerfile = await readFile(join(ROOT, "Dockerfile"), "utf8");
  const [, options = ""] = /NODE_OPTIONS="([^"]*)"/.exec(dockerfile) ?? [];
  const env = { NODE_OPTIONS: options, NODE_COMPILE_CACHE: join(folder, "compiled") };
  // The bundle's shebang line has a flag for Node.
  const [, flag = ""] = /^#!\S+ (\S+)\n/.exec(await readFile(BUNDLE, "utf8")) ?? [];
  const program = [flag, BUNDLE, "serve"];
  // Fill the compile cache as the image's build does.
  await once(spawnOne({ args: [...program, "--help"], env }), "close");
  const serve = [...program, "--listen=127.0.0.1:0", `--credentials=${keyFile}`];
  const withToken = [...serve, "--audience=https://a.run.app"];
  return {
    bare: { args: [bare], env: {}, settled: '"listen"' },
    program: { args: serve, env, settled: '"event":"listening"' },
    withToken: { args: withToken, env, settled: '"event":"minted"' },
  };
}

function spawnOne({ args, env }: Pick<Subject, "args" | "env">): ChildProcess {
  return spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
}

async function measure(subject: Subject): Promise<Sample> {
  const startedMs = performance.now();
  const child = spawnOne(subject);
  const lines = createInterface(child.stdout ?? process.stdin)[Symbol.asyncIterator]();
  const nextWith = async (text: string): Promise<string> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error("a server exited early");
      if (value.includes(text)) return value;
    }
  };
  const line = await nextWith('"listen"');
  const { listen } = JSON.parse(line) as { listen: string };
  const { status } = await fetch(`http://${listen}/livez`);
  if (status !== 200) throw new Error(`a server answered /livez with ${status}`);
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
