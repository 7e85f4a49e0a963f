import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { atExit } from "../test/support/at-exit.ts";
import { runCommand } from "../test/support/command.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";
import type { FrontEnd } from "./front-end.ts";

const SOURCE = join(import.meta.dirname, "go-proxy/main.go");

export interface GoProxy extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
}

/** Builds and starts a reverse proxy in Go with an ID token, in front of the same service. */
export async function startGoProxy(frontEnd: FrontEnd): Promise<GoProxy> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const program = join(folder, "go-proxy");
  await runCommand("go", ["build", "-o", program, SOURCE]).catch((cause: unknown) => {
    throw new Error("the reverse proxy to compare with needs Go 1.21 or newer", { cause });
  });
  const { keyFile, serviceUrl, connectTo, serviceCa } = frontEnd;
  const child = spawn(program, [keyFile, serviceUrl, connectTo, serviceCa], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const callOff = atExit(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(callOff);
  parts.defer(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const [address] = await Promise.race([
    once(child.stdout, "data"),
    ended.then(() => {
      throw new Error(`the reverse proxy ended (${child.exitCode ?? child.signalCode})`);
    }),
  ]);
  const all = parts.move();
  return {
    pid: child.pid ?? 0,
    url: `http://${String(address).trim()}/`,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
