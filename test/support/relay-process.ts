import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { atExit } from "./at-exit.ts";
import { createLineLog } from "./line-log.ts";
import { ROOT, type LogLine } from "./server-process.ts";

export interface RelayProcess extends AsyncDisposable {
  readonly pid: number;
  /** Where it listens, as `host:port`. */
  readonly address: string;
  /** The first line of an event, past or future. Rejects when the process ends without one. */
  readonly event: (event: LogLine["event"]) => Promise<LogLine>;
  /** Sends a signal, SIGTERM by default, and resolves with the exit code when it has ended. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>;
}

/** Starts `relay` in front of a TCP server and waits until it listens. */
export async function startRelay(
  target: string,
  flags: readonly string[] = [],
): Promise<RelayProcess> {
  const main = join(ROOT, "src/main.ts");
  const args = [main, "relay", "--listen=127.0.0.1:0", `--target=${target}`, ...flags];
  const child = spawn(process.execPath, args, {
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = createLineLog<LogLine>();
  createInterface(child.stdout).on("line", (each) => log.push(JSON.parse(each) as LogLine));
  const stderr = text(child.stderr);
  const callOff = atExit(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(async () => {
    callOff();
    log.end(`the relay ended: ${await stderr}`);
    return child.exitCode;
  });
  const event = (name: LogLine["event"]) => log.line((line) => line.event === name);
  const stop = (signal: NodeJS.Signals = "SIGTERM") => {
    child.kill(signal);
    return ended;
  };
  const { listen } = await event("listening");
  return {
    pid: child.pid ?? 0,
    address: String(listen),
    event,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop("SIGKILL")),
  };
}
