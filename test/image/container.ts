import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { createLineLog } from "../support/line-log.ts";
import { ROOT } from "../support/server-process.ts";

const run = promisify(execFile);

/** The folder into which .ci/image builds the images. */
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
/** Lower limits than podman's defaults, which a container inside a container may not set. */
export const LIMITS = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"] as const;
/** Restricts a container as far as possible, except for the network. */
export const LOCKED = [
  "--read-only",
  "--read-only-tmpfs=false",
  "--cap-drop=all",
  "--security-opt=no-new-privileges",
  "--network=host",
] as const;

/** Runs podman with those images. Resolves with its output; rejects when it fails. */
export async function podman(...args: readonly string[]): Promise<string> {
  const [command, ...flags] = PODMAN;
  return (await run(command, [...flags, ...args])).stdout;
}

export interface Container extends AsyncDisposable {
  readonly name: string;
  /** Resolves with the first matching line, past or future; rejects if the container ends first. */
  readonly line: (matches: (line: string) => boolean) => Promise<string>;
  /** Resolves with the exit code when it has ended. */
  readonly ended: Promise<number | null>;
  /** Stops it with the image's stop signal, as an engine does. Resolves with the exit code. */
  readonly stop: () => Promise<number | null>;
}

/** Starts an image; `flags` are for podman, `args` for the program. */
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
  const log = createLineLog<string>();
  const read = [child.stdout, child.stderr].map((output) =>
    once(createInterface(output).on("line", log.push), "close"),
  );
  const ended = once(child, "close").then(async () => {
    await Promise.all(read);
    log.end(`the container ended (${child.exitCode}): ${log.lines.join("\n")}`);
    return child.exitCode;
  });

  async function stop(): Promise<number | null> {
    if (child.exitCode === null) await podman("stop", "--time=10", name).catch(() => {});
    return ended;
  }

  return {
    name,
    line: log.line,
    ended,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}
