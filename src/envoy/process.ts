import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { LOG_FLAGS, parseAccessLogLine, parseLogLine, type EnvoyLogLine } from "./log-line.ts";

export interface EnvoyProcessOptions {
  readonly binary: string;
  readonly configFile: string;
  /** Where Envoy writes the address of its admin endpoint. */
  readonly adminAddressFile: string;
  readonly env: NodeJS.ProcessEnv;
  readonly onLine: (line: EnvoyLogLine) => void;
}

/** One run of Envoy. */
export interface EnvoyProcess {
  /** Its process group, which it leads: a terminal's Ctrl-C does not reach it. */
  readonly group: number | undefined;
  /** How it ended, as in `exit code 1` or `SIGKILL`, once its last line was reported. */
  readonly ended: Promise<string>;
  readonly terminate: () => void;
  readonly kill: () => void;
}

/** Starts Envoy; a program that cannot be started ends right away. */
export function startEnvoyProcess(options: EnvoyProcessOptions): EnvoyProcess {
  const { binary, configFile, adminAddressFile, env, onLine } = options;
  const files = ["--config-path", configFile, "--admin-address-path", adminAddressFile];
  const child = spawn(binary, [...files, "--disable-hot-restart", ...LOG_FLAGS], {
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const read = [
    readLines(child.stderr, (line) => onLine(parseLogLine(line))),
    readLines(child.stdout, (line) => onLine(parseAccessLogLine(line))),
  ];

  async function waitForEnd(): Promise<string> {
    try {
      await once(child, "close");
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    await Promise.all(read);
    return child.signalCode ?? `exit code ${child.exitCode}`;
  }

  return {
    group: child.pid,
    ended: waitForEnd(),
    terminate: () => void child.kill("SIGTERM"),
    kill: () => void child.kill("SIGKILL"),
  };
}

async function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  await once(createInterface(stream).on("line", onLine), "close");
}
