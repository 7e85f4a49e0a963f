import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { runCommand } from "../support/command.ts";
import { createLineLog } from "../support/line-log.ts";
import type { Tunnel } from "../support/tunnel.ts";
import { startPostgresql, type PostgresqlServer } from "./postgresql-server.ts";
import { checksum, rate } from "./random-file.ts";
import { startWithFile, type ServerAndFile } from "./server-and-file.ts";
import { KIND_NAMES, startKind } from "./through-tunnel.ts";

const IDLE_SECONDS = 90;

let both: ServerAndFile<PostgresqlServer>;
beforeAll(async () => {
  both = await startWithFile(startPostgresql);
});
afterAll(() => both[Symbol.asyncDispose]());

describe.each(KIND_NAMES)("PostgreSQL through %s", (kind) => {
  const parts = new AsyncDisposableStack();
  let tunnel: Tunnel;
  beforeAll(async () => {
    tunnel = parts.use(await startKind(kind, both.server.port));
  });
  afterAll(() => parts.disposeAsync());

  const connection = () => ["-h", "127.0.0.1", "-p", String(tunnel.port), "-U", "postgres"];
  const psqlArgs = () => [...connection(), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"];
  const psql = async (...commands: readonly string[]) => {
    const flags = ["--set=ON_ERROR_STOP=1", ...commands.map((each) => `--command=${each}`)];
    return (await runCommand("psql", [...psqlArgs(), ...flags])).trim();
  };

  it("answers psql", async () => {
    expect(await psql("SELECT 6 * 7")).toBe("42");
  });

  it("completes every transaction of pgbench with 8 clients", async ({ annotate }) => {
    await runCommand("pgbench", [...connection(), "-i", "-s", "5", "-q", "postgres"]);
    const flags = ["-c", "8", "-j", "2", "-T", "10", "postgres"];
    const report = await runCommand("pgbench", [...connection(), ...flags]);
    expect(report).toContain("number of clients: 8");
    expect(report).toContain("number of failed transactions: 0 ");
    const figures = report.split("\n").filter((line) => /^(latency|initial|tps)/.test(line));
    await annotate(figures.join("; "));
  });

  it("copies 200 MB in and out again without a difference", async ({ annotate }) => {
    const [atServer, back] = [join(both.server.folder, "lines"), join(both.folder, "back")];
    await psql("DROP TABLE IF EXISTS lines", "CREATE UNLOGGED TABLE lines (line text)");
    const start = performance.now();
    await psql(`\\copy lines FROM '${both.sent}'`);
    await annotate(`COPY in: ${rate(start)}`);
    await psql(`COPY lines TO '${atServer}'`);
    expect(await checksum(atServer)).toBe(both.sentChecksum);
    const middle = performance.now();
    await psql(`\\copy lines TO '${back}'`);
    await annotate(`COPY out: ${rate(middle)}`);
    expect(await checksum(back)).toBe(both.sentChecksum);
  });

  it("delivers a notification after 90 idle seconds", async () => {
    const listener = spawn("psql", psqlArgs(), { stdio: ["pipe", "pipe", "inherit"] });
    onTestFinished(() => void listener.kill());
    const output = createLineLog<string>();
    createInterface(listener.stdout).on("line", output.push);
    void once(listener, "close").then(() => output.end("psql ended"));
    listener.stdin.write("LISTEN news;\nSELECT 'listening';\n");
    await output.line((line) => line === "listening");
    await psql(`SELECT pg_sleep(${IDLE_SECONDS})`, "NOTIFY news, 'after a while'");
    // psql shows what has arrived when it runs a command.
    listener.stdin.end("SELECT 'done';\n");
    const notification = 'notification "news" with payload "after a while"';
    expect(await output.line((line) => line.includes(notification))).toContain(notification);
  });
});
