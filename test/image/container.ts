import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { listenOnLoopback } from "../support/loopback.ts";
import { ROOT } from "../support/server-process.ts";

const run = promisify(execFile);

/** Where .ci/image keeps what it builds. */
const IMAGES = join(ROOT, ".cache/images");
const PODMAN = [
  "podman",
  `--root=${IMAGES}/store`,
  `--runroot=${IMAGES}/run`,
  "--storage-driver=vfs",
  "--runtime=runc",
  "--cgroup-manager=cgroupfs",
  "--events-backend=file",
] as const;
/** Limits, because podman's own are higher than a container in a container may set. */
export const LIMITS = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"] as const;
/** As locked down as a container can be, but for the network. */
export const LOCKED = [
  "--read-only",
  "--read-only-tmpfs=false",
  "--cap-drop=all",
  "--security-opt=no-new-privileges",
  "--network=host",
] as const;

/** Runs podman on those images to its end. Rejects when it fails. */
export async function podman(...args: readonly string[]): Promise<string> {
  const [command, ...flags] = PODMAN;
  return (await run(command, [...flags, ...args])).stdout;
}

export interface Container extends AsyncDisposable {
  readonly name: string;
  /** The first line that it writes, past or to come, that fits. */
  readonly line: (fits: (line: string) => boolean) => Promise<string>;
  /** The exit code, once it has ended by itself. */
  readonly ended: Promise<number | null>;
  /** Ends it as an engine does, with the image's stop signal. Resolves with the exit code. */
  readonly stop: () => Promise<number | null>;
}

/** Runs an image: `flags` are podman's, `args` the program's. */
export function startContainer(
  image: string,
  args: readonly string[],
  flags: readonly string[],
): Container {
  const name = `t${process.hrtime.bigint()}`;
  const [command, ...global] = PODMAN;
  const child = spawn(
    command,
    [...global, "run", "--rm", `--name=${name}`, ...LIMITS, ...flags, image, ...args],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const lines: string[] = [];
  const waiting = new Set<(line: string) => void>();
  for (const output of [child.stdout, child.stderr]) {
    createInterface(output).on("line", (line) => {
      lines.push(line);
      for (const tell of waiting) tell(line);
    });
  }
  const ended = once(child, "close").then(() => child.exitCode);

  async function stop(): Promise<number | null> {
    if (child.exitCode === null) await podman("stop", "--time=10", name).catch(() => {});
    return ended;
  }

  return {
    name,
    line: async (fits) => {
      const { promise, resolve } = Promise.withResolvers<string>();
      const tell = (line: string) => fits(line) && resolve(line);
      waiting.add(tell);
      for (const line of lines) tell(line);
      const end = ended.then((code) => {
        throw new Error(`the container ended (${code}): ${lines.join("\n")}`);
      });
      return Promise.race([promise, end]).finally(() => waiting.delete(tell));
    },
    ended,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}

/** A port that the program is told by number, as a health check from outside has to know it. */
export async function findFreePort(): Promise<number> {
  await using server = createServer();
  return await listenOnLoopback(server);
}
