import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startWatchdog } from "../../../src/envoy/watchdog.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

/** A process that leads a group, as Envoy does, and never ends by itself. */
function startGuarded() {
  const child = spawn("/bin/sh", ["-c", "read -r forever"], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  return { child, ended: once(child, "exit") };
}

it("removes the folder, and kills the process group that it guards", async () => {
  await using outer = await makeTemporaryFolder();
  const folder = join(outer.path, "-rf folder");
  await mkdir(folder);
  await writeFile(join(folder, "file"), "");
  const { child, ended } = startGuarded();
  const watchdog = await startWatchdog(folder);
  watchdog.guard(child.pid);
  await watchdog.close();
  expect(await ended).toEqual([null, "SIGKILL"]);
  expect(existsSync(folder)).toBe(false);
});

it("kills nothing that it no longer guards", async () => {
  await using outer = await makeTemporaryFolder();
  const { child, ended } = startGuarded();
  const watchdog = await startWatchdog(join(outer.path, "folder"));
  watchdog.guard(child.pid);
  watchdog.guard(undefined);
  await watchdog.close();
  child.stdin.end();
  expect(await ended).toEqual([1, null]);
});
