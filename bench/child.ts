import { fork } from "node:child_process";
import { once } from "node:events";
import { atExit } from "../test/support/at-exit.ts";

/** A module of the benchmarks that runs as a process of its own and talks by messages. */
export interface Child extends AsyncDisposable {
  readonly send: (message: object) => void;
  /** Resolves with the next message. Rejects when the process ends first. */
  readonly next: () => Promise<unknown>;
}

/** Starts a process. */
export function startChild(file: string, args: readonly string[] = []): Child {
  const child = fork(file, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const callOff = atExit(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(callOff);
  return {
    send: (message) => void child.send(message),
    next: async () => {
      const failed = ended.then(() => {
        throw new Error(`${file} ended (${child.exitCode ?? child.signalCode})`);
      });
      const [message] = (await Promise.race([once(child, "message"), failed])) as [unknown];
      return message;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
