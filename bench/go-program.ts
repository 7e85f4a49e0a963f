import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { atExit } from "../test/support/at-exit.ts";
import { runCommand } from "../test/support/command.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";

/** A program in Go that was built. */
export interface GoProgram extends AsyncDisposable {
  readonly file: string;
  /** Starts it as a server, and waits for its first line, which is its address. */
  readonly serve: (args: readonly string[]) => Promise<GoServer>;
}

export interface GoServer extends AsyncDisposable {
  readonly pid: number;
  readonly address: string;
}

/** Builds the program in the folder NAME. Rejects if there is no Go. */
export async function buildGoProgram(name: string): Promise<GoProgram> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const file = join(folder, name);
  const source = join(import.meta.dirname, name, "main.go");
  await runCommand("go", ["build", "-o", file, source]).catch((cause: unknown) => {
    throw new Error(`${name} needs Go 1.25 or newer`, { cause });
  });
  const all = parts.move();
  return {
    file,
    serve: (args) => serve(file, args),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function serve(file: string, args: readonly string[]): Promise<GoServer> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  const callOff = atExit(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(callOff);
  const [address] = await Promise.race([
    once(child.stdout, "data"),
    ended.then(() => {
      throw new Error(`${file} ended (${child.exitCode ?? child.signalCode})`);
    }),
  ]);
  return {
    pid: child.pid ?? 0,
    address: String(address).trim(),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
