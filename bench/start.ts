import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { startKeyedEndpoint, type KeyedEndpoint } from "../test/support/keyed-endpoint.ts";
import { ROOT } from "../test/support/server-process.ts";
import { FLOOR } from "./floor.ts";
import { compare, type Goal, type Line } from "./line.ts";
import { interleave, type OnStep } from "./interleave.ts";
import { readResidentBytes } from "./processes.ts";

const ROUNDS = 15;
/** A server counts as idle after its first answer and this pause. */
const IDLE_MS = 1000;
const AUDIENCE = "https://a.run.app";
const BUNDLE = join(ROOT, "dist/idtoken-authz.cjs");

/** A server that answers and does nothing else, written as an ES module. */
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
  /** What is requested first: a check waits for a token. */
  readonly path: "/livez" | "/check";
}

interface Sample {
  /** From spawn to the first answer. */
  readonly startMs: number;
  /** The CPU time of all threads until then. */
  readonly cpuMs: number;
  readonly idleMb: number;
}

/** Measures the bundle's start, from spawn to the first answer, and idle memory, run as in the image. */
export async function benchStart(onStep: OnStep): Promise<readonly Line[]> {
  onStep("building the bundle");
  await promisify(execFile)(process.execPath, [join(ROOT, "build.ts")]);
  await using keyed = await startKeyedEndpoint();
  const subjects = await prepare(keyed);
  const measures = {
    bare: () => measure(subjects.bare),
    floor: () => measure(subjects.floor),
    program: () => measure(subjects.program),
    withToken: () => measure(subjects.withToken),
  };
  const samples = await interleave(measures, { rounds: ROUNDS, onStep });
  const compareBy = (of: keyof typeof samples, to: keyof typeof samples, what: string) => {
    const figures = (name: keyof Sample) =>
      [samples[of], samples[to]].map((runs) => runs.map((sample) => sample[name])) as [
        number[],
        number[],
      ];
    return {
      time: (goal?: Goal) =>
        compare(what, ...figures("startMs"), { unit: "ms", ...(goal && { goal }) }),
      cpu: (goal?: Goal) =>
        compare(`${what}, CPU`, ...figures("cpuMs"), { unit: "ms", ...(goal && { goal }) }),
      memory: (goal?: Goal) =>
        compare(`${what}, idle memory`, ...figures("idleMb"), {
          unit: "MB",
          ...(goal && { goal }),
        }),
    };
  };
  const start = compareBy("program", "bare", "the bundle's start against bare node:http");
  const first = compareBy(
    "withToken",
    "floor",
    "the bundle's first token against node:http and node:crypto alone",
  );
  return [
    start.time({ atMost: 1.6 }),
    start.cpu(),
    start.memory({ atMost: 1.25 }),
    first.time({ atMost: 2.2 }),
    first.cpu({ atMost: 2.2 }),
    first.memory({ atMost: 1.25 }),
  ];
}

async function prepare({ folder, keyFile }: KeyedEndpoint) {
  const bare = join(folder, "bare.mjs");
  await writeFile(bare, BARE);
  const floor = join(folder, "floor.mjs");
  await writeFile(floor, FLOOR);
  const dockerfile = await readFile(join(ROOT, "Dockerfile"), "utf8");
  const [, options = ""] = /NODE_OPTIONS="([^"]*)"/.exec(dockerfile) ?? [];
  const env = { NODE_OPTIONS: options, NODE_COMPILE_CACHE: join(folder, "compiled") };
  // The bundle's shebang line has a flag for Node.
  const [, flag = ""] = /^#!\S+ (\S+)\n/.exec(await readFile(BUNDLE, "utf8")) ?? [];
  const program = [flag, BUNDLE, "serve"];
  // Fill the compile cache as the image's build does.
  await once(spawnOne({ args: [...program, "--help"], env }), "close");
  const serve = [...program, "--listen=127.0.0.1:0", `--credentials=${keyFile}`];
  return {
    bare: { args: [bare], env: {}, path: "/livez" },
    floor: { args: [floor, keyFile, AUDIENCE], env: {}, path: "/check" },
    program: { args: serve, env, path: "/livez" },
    withToken: { args: [...serve, `--audience=${AUDIENCE}`], env, path: "/check" },
  } as const satisfies Readonly<Record<string, Subject>>;
}

function spawnOne({ args, env }: Pick<Subject, "args" | "env">): ChildProcess {
  return spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
}

async function measure(subject: Subject): Promise<Sample> {
  const startedMs = performance.now();
  const child = spawnOne(subject);
  const { pid = 0 } = child;
  const lines = createInterface(child.stdout ?? process.stdin)[Symbol.asyncIterator]();
  const { value, done } = await lines.next();
  if (done) throw new Error("a server exited early");
  const { listen } = JSON.parse(value) as { listen: string };
  const answer = await fetch(`http://${listen}${subject.path}`);
  const hasToken = answer.headers.has("authorization");
  if (answer.status !== 200 || (subject.path === "/check" && !hasToken)) {
    throw new Error(`a server answered ${subject.path} with ${answer.status}`);
  }
  const startMs = performance.now() - startedMs;
  const cpuMs = await readThreadsCpuMs(pid);
  await setTimeout(IDLE_MS);
  const idleMb = (await readResidentBytes([pid])) / 1e6;
  child.kill("SIGKILL");
  await once(child, "close");
  return { startMs, cpuMs, idleMb };
}

/** The CPU time of a process's living threads, finer than /proc/PID/stat has it. */
async function readThreadsCpuMs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const nanoseconds = await Promise.all(
    threads.map(async (thread) => {
      const text = await readFile(`/proc/${pid}/task/${thread}/schedstat`, "utf8");
      return Number(text.split(" ")[0]);
    }),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e6;
}
