import { spawn } from "node:child_process";
import { once } from "node:events";
import { isExecutable } from "../system/executable.ts";

/** Outlives this process, even a `kill -9` of it, for as long as it takes to clean up. */
export interface Watchdog {
  /** Names the process group to kill, or none. */
  readonly guard: (processGroup: number | undefined) => void;
  /** Ends it now; it removes the folder and kills the guarded group. */
  readonly close: () => Promise<void>;
}

const SHELL = "/bin/sh";

/**
 * Reads the process group to kill, one a line, until the other end of the pipe is gone. A terminal's
 * signals go to its session as well, and must not end it early.
 */
const SCRIPT = `
trap "" HUP INT QUIT TERM
group=
while read -r line; do group=$line; done
[ -z "$group" ] || kill -9 "-$group"
rm -rf -- "$1"
`;

/**
 * Starts a shell that holds one end of a pipe to this process: when this process ends, however it
 * ends, the shell kills the guarded process group and removes `folder`. Where there is no shell, as
 * in a distroless container, nothing is guarded: there the container's end is the end of all.
 */
export async function startWatchdog(folder: string): Promise<Watchdog> {
  if (!(await isExecutable(SHELL))) return { guard: () => {}, close: async () => {} };
  const child = spawn(SHELL, ["-c", SCRIPT, "idtoken-authz-watchdog", folder], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const ended = once(child, "close");
  // It may have been killed; then there is nobody to write to.
  child.stdin.on("error", () => {});
  await once(child, "spawn");
  return {
    guard: (processGroup) => void child.stdin.write(`${processGroup ?? ""}\n`),
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
