import { spawn } from "node:child_process";
import { once } from "node:events";
import { atExit } from "../support/at-exit.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

/** Nothing that connects to Google's own servers, and no state from another run. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Opens a page in headless Chromium until the result is disposed. */
export async function openPage(url: string): Promise<AsyncDisposable> {
  await using parts = new AsyncDisposableStack();
  const { path } = parts.use(await makeTemporaryFolder());
  const child = spawn("chromium", [...FLAGS, `--user-data-dir=${path}`, url], {
    stdio: "ignore",
    // Its child processes end with it.
    detached: true,
  });
  const killAll = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
  };
  const callOff = atExit(killAll);
  const exited = once(child, "exit");
  parts.defer(async () => {
    killAll();
    await exited;
    callOff();
  });
  await once(child, "spawn");
  return parts.move();
}
