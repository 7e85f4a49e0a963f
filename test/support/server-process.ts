import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { request, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import type { LogEvent } from "../../src/telemetry/log-events.ts";
import { atExit } from "./at-exit.ts";
import { createLineLog } from "./line-log.ts";
import { refuseSecrets } from "./secrets.ts";

/** The project's folder. */
export const ROOT = join(import.meta.dirname, "../..");
const MAIN = join(ROOT, "src/main.ts");

/** One line of the server's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly event: LogEvent };

export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
  /** Where it listens, as `host:port` or `unix:path`. */
  readonly address: string;
  readonly url: string;
  /** Every log line so far. */
  readonly lines: () => readonly LogLine[];
  /** The first matching line, past or future. Rejects when the process ends without one. */
  readonly line: (matches: (line: LogLine) => boolean) => Promise<LogLine>;
  /** The first line of an event, past or future. Rejects when the process ends without one. */
  readonly event: (event: LogEvent) => Promise<LogLine>;
  /** Sends a signal without waiting. */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Resolves when it has ended, with the exit code or the signal that killed it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Sends a signal, SIGTERM by default, and waits for its end. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | NodeJS.Signals | null>;
}

/** Runs a command of the program to its end. */
export async function runMain(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "close");
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  await exited;
  refuseSecrets(stderr, "standard error");
  // With this flag the token is the output.
  if (!args.includes("--print-token")) refuseSecrets(stdout, "standard output");
  return { code: child.exitCode, stdout, stderr };
}

/** Runs a command that must succeed and returns its output. Throws an Error with its messages. */
export async function runOrThrow(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runMain(args);
  if (code !== 0) throw new Error(`${args.join(" ")}: exit code ${code}: ${stderr}`);
  return stdout;
}

/**
 * Starts `serve` as users do, by default on a free port, and waits until it listens. bash runs it,
 * by a script that gets the command as its arguments.
 */
export async function startServer(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  script = 'exec "$@"',
): Promise<ServerProcess> {
  const listenArgs = args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const command = [process.execPath, MAIN, "serve", ...listenArgs, ...args];
  const child = spawn("bash", ["-c", script, "bash", ...command], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = createLineLog<LogLine>();
  const stderr = text(child.stderr);
  const written = createInterface(child.stdout).on("line", (each) => log.push(JSON.parse(each)));
  const logEnded = once(written, "close");
  const callOff = atExit(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(async () => {
    callOff();
    await logEnded;
    const how = child.exitCode ?? child.signalCode;
    log.end(`the server ended (${how}): ${await stderr}`);
    refuseSecrets(JSON.stringify(log.lines) + (await stderr), "the server's log");
    return how;
  });
  // Errors are reported to those who await it.
  ended.catch(() => {});

  async function stop(signal: NodeJS.Signals = "SIGTERM") {
    child.kill(signal);
    return ended;
  }

  const event = (name: LogEvent) => log.line((line) => line.event === name);
  const { listen, adminListen } = await event("listening");
  const address = String(listen);
  return {
    pid: child.pid ?? 0,
    address,
    url: `http://${address}`,
    lines: () => log.lines,
    line: log.line,
    event,
    signal: (signal) => void child.kill(signal),
    ended,
    stop,
    [Symbol.asyncDispose]: async () => {
      const isRunning = child.exitCode === null && child.signalCode === null;
      try {
        if (isRunning) await readMetrics(String(adminListen ?? listen));
      } finally {
        await stop("SIGKILL");
      }
    },
  };
}

/** Checks the metrics of every server that a test has started for secrets. */
async function readMetrics(address: string): Promise<void> {
  const [host, port] = address.split(":");
  const at = host === "unix" ? { socketPath: port ?? "" } : { host: host ?? "", port: port ?? "" };
  const sent = request({ ...at, path: "/metrics" }).end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  refuseSecrets(await text(response), "a metric");
}
