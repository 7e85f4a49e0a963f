import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { atExit } from "../support/at-exit.ts";
import { createLineLog } from "../support/line-log.ts";

/**
 * Starts a server and waits until a line on its standard error contains `ready`. Rejects with its
 * lines if it ends before. On disposal it gets the signal, and its end is awaited.
 */
export async function startProgram(
  [file = "", ...args]: readonly string[],
  ready: string,
  signal: NodeJS.Signals,
): Promise<AsyncDisposable> {
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
  const log = createLineLog<string>();
  createInterface(child.stderr).on("line", log.push);
  const callOff = atExit(() => child.kill(signal));
  const ended = once(child, "close").finally(() => {
    callOff();
    log.end(`${file} ended:\n${log.lines.join("\n")}`);
  });
  ended.catch((error: unknown) => log.end(String(error)));
  await log.line((line) => line.includes(ready));
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill(signal);
      await ended;
    },
  };
}
