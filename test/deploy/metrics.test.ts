import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { startGoogle } from "../support/google.ts";
import { startServer } from "../support/server-process.ts";

it("promtool finds no fault with the metrics", async () => {
  await using google = await startGoogle({ services: [] });
  await using server = await startServer([
    `--credentials=${google.keyFile}`,
    "--audience=https://a.run.app",
  ]);
  await server.event("minted");
  await fetch(`${server.url}/check`);
  const promtool = spawn("promtool", ["check", "metrics"], { stdio: ["pipe", "ignore", "pipe"] });
  promtool.stdin.end(await (await fetch(`${server.url}/metrics`)).text());
  expect(await text(promtool.stderr)).toBe("");
});
