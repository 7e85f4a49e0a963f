import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { atExit } from "./at-exit.ts";
import { runCommand } from "./command.ts";
import { findEnvoy } from "./envoy-binary.ts";
import { createLineLog } from "./line-log.ts";
import { refuseSecrets } from "./secrets.ts";
import { ROOT, type LogLine } from "./server-process.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

export interface UpProcess extends AsyncDisposable {
  readonly pid: number;
  /** Where Envoy listens. */
  readonly port: number;
  /** The step that was waited for, without its time. */
  readonly ready: string;
  /** The process ID of the Envoy that runs now. */
  readonly envoyPid: () => Promise<number>;
  /** Resolves with the first step, past or future, that contains `text`; rejects if `up` ends. */
  readonly step: (text: string) => Promise<string>;
  /** Resolves with the first matching line of the log, past or future. */
  readonly line: (matches: (line: LogLine) => boolean) => Promise<LogLine>;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Resolves when it has ended, with the exit code or the signal that killed it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Lists the files in its temporary folder and the processes that were started for it. */
  readonly leftovers: () => Promise<readonly string[]>;
}

export interface UpOptions {
  /** The program and its first arguments; the checkout's by default. */
  readonly command?: readonly [string, ...string[]];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** The path of Envoy; by default the one that the tests use. */
  readonly envoy?: string;
  /** The step to wait for; that it is ready, by default. */
  readonly until?: string;
}

const CHECKOUT = [process.execPath, join(ROOT, "src/main.ts")] as const;

/** Lists the IDs of the processes with `text` among their arguments. */
async function findProcesses(text: string): Promise<ReadonlyMap<number, string>> {
  const lines = (await runCommand("ps", ["-A", "-o", "pid=,args=", "-ww"])).split("\n");
  return new Map(
    lines.flatMap((line) => {
      const [, pid = "", args = ""] = /^ *(\d+) (.*)$/.exec(line) ?? [];
      return args.includes(text) ? [[Number(pid), args] as const] : [];
    }),
  );
}

/** Starts `up NAME` with its flags, on a free port, and waits for a step. */
export async function startUp(
  name: string,
  flags: readonly string[],
  options: UpOptions = {},
): Promise<UpProcess> {
  const { command = CHECKOUT, cwd = ROOT, env = { PATH: process.env["PATH"] } } = options;
  await using parts = new AsyncDisposableStack();
  const { path } = parts.use(await makeTemporaryFolder());
  // A short path, as those of sockets are limited.
  const TMPDIR = join(path, "t");
  await mkdir(TMPDIR);
  const envoy = options.envoy ?? (await findEnvoy());
  const [file, ...first] = command;
  const child = spawn(
    file,
    [...first, "up", name, `--envoy=${envoy}`, "--listen=127.0.0.1:0", ...flags],
    { cwd, env: { ...env, TMPDIR }, stdio: ["ignore", "pipe", "pipe"] },
  );
  const callOff = atExit(() => child.kill("SIGKILL"));
  const { steps, log, ended } = readOutput(child);
  parts.defer(async () => {
    child.kill("SIGTERM");
    await ended;
    callOff();
  });
  const { until = "ready: " } = options;
  const ready = (await steps.line((each) => each.includes(until))).replace(/^[ \d.]+s  /, "");
  const all = parts.move();
  return {
    pid: child.pid ?? 0,
    port: Number(/127\.0\.0\.1:(\d+)/.exec(ready)?.[1]),
    ready,
    envoyPid: async () => {
      const found = [...(await findProcesses(TMPDIR))].find(([, line]) => line.startsWith(envoy));
      if (found === undefined) throw new Error("there is no Envoy");
      return found[0];
    },
    step: (text) => steps.line((each) => each.includes(text)),
    line: log.line,
    signal: (signal) => void child.kill(signal),
    ended,
    leftovers: async () => [...(await readdir(TMPDIR)), ...(await findProcesses(TMPDIR)).values()],
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Collects its steps and its log. */
function readOutput(child: ChildProcessByStdio<null, Readable, Readable>) {
  const steps = createLineLog<string>();
  const log = createLineLog<LogLine>();
  const read = [
    once(createInterface(child.stderr).on("line", steps.push), "close"),
    once(
      createInterface(child.stdout).on("line", (line) => log.push(JSON.parse(line))),
      "close",
    ),
  ];

  async function waitForEnd() {
    await once(child, "close");
    await Promise.all(read);
    const how = child.exitCode ?? child.signalCode;
    const why = `up ended (${how}):\n${steps.lines.join("\n")}`;
    steps.end(why);
    log.end(why);
    refuseSecrets(`${why}${JSON.stringify(log.lines)}`, "what up printed");
    return how;
  }

  const ended = waitForEnd();
  // Errors are reported to those who await it.
  ended.catch(() => {});
  return { steps, log, ended };
}
