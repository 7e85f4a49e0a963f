import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { ROOT } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const EXECUTABLE = join(ROOT, "dist/idtoken-authz");
const URL = "https://svc-abc123-ew.a.run.app";

beforeAll(async () => {
  await runCommand("npm", ["run", "-s", "build:executable"], { cwd: ROOT });
}, 120_000);

it("The single executable needs neither Node nor another file.", async () => {
  const printed = await runCommand(EXECUTABLE, ["envoy", "gateway", `--service-url=${URL}`], {
    cwd: "/",
    env: { PATH: "/none" },
  });
  expect(printed).toContain("svc-abc123-ew.a.run.app");
});

it("The single executable ends with the right code, whatever its threads hang in.", async () => {
  await using folder = await makeTemporaryFolder();
  const fifo = join(folder.path, "key.json");
  await runCommand("mkfifo", [fifo]);
  const args = ["serve", "--listen=127.0.0.1:0", `--credentials=${fifo}`, "--audience=a"];
  const child = spawn(EXECUTABLE, args, { stdio: "ignore" });
  const ended = once(child, "exit");
  // The pipe is open when the program reads it, which never ends.
  const writer = spawn("/bin/sh", ["-c", `exec 3>"$1"; echo open; read -r end`, "sh", fifo], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  await once(writer.stdout, "data");
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
  writer.stdin.end();
});
