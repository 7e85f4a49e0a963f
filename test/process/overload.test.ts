import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { atExit } from "../support/at-exit.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import { ROOT, startServer, type ServerProcess } from "../support/server-process.ts";
import { createServiceAccount } from "../support/service-account.ts";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import type { TokenEndpoint } from "../support/token-endpoint.ts";

const A = "https://a.run.app";
const parts = new AsyncDisposableStack();
let endpoint: TokenEndpoint;
let folder = "";
let keyFile = "";

beforeAll(async () => {
  ({ endpoint, keyFile, folder } = parts.use(await startKeyedEndpoint()));
});
afterAll(() => parts.disposeAsync());

const FLAGS = () => [
  "--credentials",
  keyFile,
  "--audience",
  A,
  "--allow-audience",
  "https://*.run.app",
];

describe("a log that cannot be written", () => {
  let sockets = 0;

  /** Starts the program with this standard output; on a Unix socket, as its log cannot be read. */
  async function startWith(stdout: number | "pipe") {
    const socketPath = join(folder, `${(sockets += 1)}.sock`);
    const minted = endpoint.nextExchange();
    const main = join(ROOT, "src/main.ts");
    const args = [main, "serve", ...FLAGS(), "--listen", `unix:${socketPath}`];
    const child = spawn(process.execPath, args, { stdio: ["ignore", stdout, "inherit"] });
    atExit(() => child.kill("SIGKILL"));
    // The first mint happens once it listens.
    await minted;
    return { child, socketPath };
  }

  async function check(socketPath: string, audience: string): Promise<number | undefined> {
    const headers = { "x-id-token-audience": audience };
    const sent = request({ socketPath, path: "/check", headers }).end();
    const [response] = await once(sent, "response");
    response.resume();
    return response.statusCode;
  }

  /** Sends many checks, then SIGTERM; returns the distinct statuses and the exit code. */
  async function checkAndStop({ child, socketPath }: { child: ChildProcess; socketPath: string }) {
    const statuses = new Set<number | undefined>();
    // Every new audience writes a log line; together they exceed a pipe's buffer.
    for (let index = 0; index < 600; index++) {
      statuses.add(await check(socketPath, `https://${index}.run.app`));
    }
    child.kill("SIGTERM");
    await once(child, "exit");
    return { statuses: [...statuses], exitCode: child.exitCode };
  }

  const unharmed = { statuses: [200], exitCode: 0 };

  it("because the disk is full does not affect checks or the shutdown", async () => {
    await using full = await open("/dev/full", "w");
    expect(await checkAndStop(await startWith(full.fd))).toEqual(unharmed);
  });

  it("because its reader is gone does not affect checks or the shutdown", async () => {
    const server = await startWith("pipe");
    server.child.stdout?.destroy();
    expect(await checkAndStop(server)).toEqual(unharmed);
  });

  it("because its reader stalls does not affect checks or the shutdown", async () => {
    const server = await startWith("pipe");
    server.child.stdout?.pause();
    expect(await checkAndStop(server)).toEqual(unharmed);
    server.child.stdout?.destroy();
  });
});

describe("a server under unusual load", () => {
  let server: ServerProcess;
  beforeAll(async () => {
    // A slow machine may need more than the default timeout for 1,000 mints.
    server = parts.use(await startServer([...FLAGS(), "--mint-timeout=60s"]));
  });

  const port = () => Number(server.address.split(":").at(-1));

  async function openSockets(count: number, send: string): Promise<readonly Socket[]> {
    const sockets: Socket[] = [];
    for (let index = 0; index < count; index++) {
      const socket = connect(port(), "127.0.0.1").on("error", () => {});
      await once(socket, "connect");
      if (send !== "") socket.write(send);
      sockets.push(socket);
    }
    return sockets;
  }

  it.each([
    ["10,000 idle connections", 10_000, ""],
    [
      "500 clients that stop in the middle of their headers",
      500,
      "GET /check HTTP/1.1\r\nhost: a\r\nx-a",
    ],
  ])("answers checks beside %s", async (_what, count, send) => {
    const sockets = await openSockets(count, send);
    const load = startLoad(8, httpAttempt(`${server.url}/check`));
    await load.more(500);
    expect(await load.stop()).toEqual({ ok: expect.any(Number) });
    for (const socket of sockets) socket.destroy();
  });

  it("answers a check with 64 KiB of headers", async () => {
    const socket = connect(port(), "127.0.0.1");
    const filler = Array.from({ length: 16 }, (_, index) => `x-${index}: ${"a".repeat(4085)}\r\n`);
    socket.end(`GET /check HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${filler.join("")}\r\n`);
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  it("mints one token each for 1,000 concurrent new audiences", async () => {
    const before = endpoint.exchanges.length;
    const checks = Array.from({ length: 1000 }, (_, index) =>
      fetch(`${server.url}/check`, {
        headers: { "x-id-token-audience": `https://cold-${index}.run.app` },
      }),
    );
    const answers = await Promise.all(checks);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1000);
    expect(endpoint.exchanges).toHaveLength(before + 1000);
  });
});

describe("a credential that Google rejects", () => {
  it("causes few exchanges, however many checks there are", async () => {
    const unknown = createServiceAccount({ tokenUri: endpoint.url, clientEmail: "unknown@x.test" });
    const path = join(folder, "unknown.json");
    await unknown.writeTo(path);
    const before = endpoint.exchanges.length;
    const startedMs = performance.now();
    await using server = await startServer(["--credentials", path, "--audience", A]);
    const load = startLoad(16, httpAttempt(`${server.url}/check`));
    await load.more(5000);
    expect(await load.stop()).toEqual({ 503: expect.any(Number) });
    const seconds = (performance.now() - startedMs) / 1000;
    expect(endpoint.exchanges.length - before).toBeLessThanOrEqual(1 + 2 * seconds);
  });
});
