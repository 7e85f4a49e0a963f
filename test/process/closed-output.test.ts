import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import { ROOT } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

/** Opens a pipe as descriptor 3 and waits until its reader has ended. */
const OPEN_UNREAD_PIPE = "exec 3> >(exec true); wait $!;";

/** Runs a command of the program in a shell that redirects its outputs. */
async function run(args: readonly string[], redirection: string) {
  const script = `${OPEN_UNREAD_PIPE} exec "$@" ${redirection}`;
  const command = [process.execPath, join(ROOT, "src/main.ts"), ...args];
  const child = spawn("bash", ["-c", script, "bash", ...command], {
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [stderr] = await Promise.all([text(child.stderr), once(child, "close")]);
  return { code: child.exitCode, stderr };
}

describe("a command whose standard output has no reader any more, as in | head", () => {
  it.each([
    "--help",
    "--version",
    "up --help",
    "envoy gateway --service-url=https://service-abc123-ew.a.run.app",
  ])("%s ends with 1 and without a message", async (args) => {
    expect(await run(args.split(" "), ">&3")).toEqual({ code: 1, stderr: "" });
  });

  it("certs ends with 1 and without a message", async () => {
    await using folder = await makeTemporaryFolder();
    expect(await run(["certs", folder.path], ">&3")).toEqual({ code: 1, stderr: "" });
  });

  it("doctor ends with 1 and without a message", async () => {
    await using keyed = await startKeyedEndpoint();
    const args = ["doctor", `--credentials=${keyed.keyFile}`, "--audience=https://a.run.app"];
    expect(await run(args, ">&3")).toEqual({ code: 1, stderr: "" });
  });
});

it("a command whose standard output is a full disk ends with 1 and says so", async () => {
  const { code, stderr } = await run(["--help"], ">/dev/full");
  expect(code).toBe(1);
  expect(stderr).toMatch(/^standard output: ENOSPC: .+\n$/);
});

it("a wrong flag ends a command with 2 although nobody reads its standard error", async () => {
  expect(await run(["envoy", "nonsense"], "2>&3")).toEqual({ code: 2, stderr: "" });
});
