import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { expect, it, onTestFinished } from "vitest";
import { ROOT, runMain } from "../support/server-process.ts";
import { BANNER } from "../support/tcp-service.ts";
import { startUp } from "../support/up.ts";

const start = (...flags: readonly string[]) =>
  spawn(process.execPath, [join(ROOT, "test/demo/main.ts"), ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });

const LAST_LINE = "Ctrl-C stops everything";

/** Reads what a demo prints until everything is running. */
async function readUntilKept(demo: ReturnType<typeof start>): Promise<string> {
  let printed = "";
  for await (const line of createInterface(demo.stdout)) {
    printed += `${line}\n`;
    if (line.includes(LAST_LINE)) break;
  }
  return printed;
}

/** Lists the child processes of a process (Linux). */
async function childrenOf(pid: number): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).map(Number).filter(Number.isInteger);
  const parents = await Promise.all(
    pids.map(async (each) => {
      const status = await readFile(`/proc/${each}/status`, "utf8").catch(() => "");
      return { each, parent: Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]) };
    }),
  );
  return parents.filter(({ parent }) => parent === pid).map(({ each }) => each);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

it("the demo shows two denials and ends with the banner received through the tunnel", async () => {
  const demo = start();
  const [output] = await Promise.all([text(demo.stdout), once(demo, "close")]);
  expect(demo.exitCode).toBe(0);
  const marks = output.split("\n").filter((line) => line.includes("✓"));
  expect(marks).toEqual([
    expect.stringContaining("without a token is denied: 403"),
    expect.stringContaining("without a client certificate is refused: certificate required"),
    expect.stringContaining("a TCP client receives, through the tunnel:"),
  ]);
  expect(output.trim().split("\n").at(-1)).toBe(BANNER.trim());
});

it.each([
  [["--push"], 4, BANNER.trim()],
  [["--gateway"], 3, "Congrats! GET /hello has reached a private service."],
  [["--gateway", "--push"], 4, "Congrats! GET /hello has reached a private service."],
])("the demo with %j ends with the answer received", async (flags, marks, last) => {
  const demo = start(...flags);
  const [output] = await Promise.all([text(demo.stdout), once(demo, "close")]);
  expect(demo.exitCode).toBe(0);
  expect(output.split("\n").filter((line) => line.includes("✓"))).toHaveLength(marks);
  expect(output.trim().split("\n").at(-1)).toBe(last);
});

it.each([[["--keep"]], [["--keep", "--gateway"]]])(
  "the demo with %j prints commands that work",
  async (flags) => {
    const demo = start(...flags);
    onTestFinished(() => void demo.kill());
    const printed = await readUntilKept(demo);
    const [doctor = [], up = []] = printed
      .replaceAll("\\\n", "")
      .split("\n")
      .filter((line) => line.includes("npm run -s "))
      .map((line) => line.trim().split(/ +/).slice(3));
    const { code, stdout } = await runMain(doctor.filter((word) => word !== "--"));
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/^[^✓]/m);
    const [command, , name = "", ...upFlags] = up;
    expect(command).toBe("up");
    await using running = await startUp(name, upFlags);
    expect(running.ready).toContain("as caller@");
  },
);

it.each(["SIGINT", "SIGTERM"] as const)("the demo leaves no process after %s", async (signal) => {
  const demo = start("--keep");
  const closed = once(demo, "close");
  await readUntilKept(demo);
  const children = await childrenOf(demo.pid ?? 0);
  expect(children).toHaveLength(3);
  demo.kill(signal);
  await closed;
  expect(demo.exitCode).toBe(130);
  // They were killed before the demo ended; the system may take a moment to reap them.
  while (children.some(isAlive)) await new Promise(setImmediate);
});
