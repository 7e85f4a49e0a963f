import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { ROOT } from "../support/server-process.ts";
import { BANNER } from "../support/tcp-service.ts";

const start = (...flags: readonly string[]) =>
  spawn(process.execPath, [join(ROOT, "test/demo/main.ts"), ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });

/** The processes of this machine whose parent is `pid` (Linux). */
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

it("ends with the banner, after what is refused was refused", async () => {
  const demo = start();
  const [output] = await Promise.all([text(demo.stdout), once(demo, "close")]);
  expect(demo.exitCode).toBe(0);
  const marks = output.split("\n").filter((line) => line.includes("✓"));
  expect(marks).toEqual([
    expect.stringContaining("without a token is refused: 403"),
    expect.stringContaining("without a client certificate is refused: certificate required"),
    expect.stringContaining("a TCP client at the tunnel's near end receives"),
  ]);
  expect(output.trim().split("\n").at(-1)).toBe(BANNER.trim());
});

it.each([
  [["--push"], 4, BANNER.trim()],
  [["--gateway"], 3, "Congrats! GET /hello has reached a private service."],
  [["--gateway", "--push"], 4, "Congrats! GET /hello has reached a private service."],
])("%j ends with what came through", async (flags, marks, last) => {
  const demo = start(...flags);
  const [output] = await Promise.all([text(demo.stdout), once(demo, "close")]);
  expect(demo.exitCode).toBe(0);
  expect(output.split("\n").filter((line) => line.includes("✓"))).toHaveLength(marks);
  expect(output.trim().split("\n").at(-1)).toBe(last);
});

it.each(["SIGINT", "SIGTERM"] as const)("leaves no process behind after %s", async (signal) => {
  const demo = start("--keep");
  const closed = once(demo, "close");
  for await (const line of createInterface(demo.stdout)) {
    if (line.includes("Ctrl-C ends it all")) break;
  }
  const children = await childrenOf(demo.pid ?? 0);
  expect(children).toHaveLength(3);
  demo.kill(signal);
  await closed;
  expect(demo.exitCode).toBe(130);
  // They were killed before it ended; the system may take a moment to bury them.
  while (children.some(isAlive)) await new Promise(setImmediate);
});
