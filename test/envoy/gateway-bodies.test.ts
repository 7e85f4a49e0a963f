import { open, readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
/** Allowed growth of each process's peak memory while a gigabyte passes: windows and buffers. */
const AUTH_SERVER_GROWTH = 16 * MIB;
const ENVOY_GROWTH = 64 * MIB;

/** A process's peak resident memory in bytes (Linux). */
async function peakMemory(pid: number | undefined): Promise<number> {
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) * 1024;
}

/** Counts the bytes of an upload; answers any other method with a gigabyte of zeros. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === "PUT") {
    let received = 0;
    for await (const chunk of request) received += (chunk as Buffer).length;
    response.end(`received ${received}`);
    return;
  }
  const chunk = Buffer.alloc(MIB);
  response.writeHead(200, { "content-length": GIB });
  await pipeline(Readable.from(Array<Buffer>(GIB / MIB).fill(chunk)), response);
}

describe("a 1 GiB body through the gateway", () => {
  const parts = new AsyncDisposableStack();
  let gateway: Gateway;
  let file = "";

  beforeAll(async () => {
    const folder = parts.use(await makeTemporaryFolder());
    file = join(folder.path, "upload");
    await using upload = await open(file, "w");
    // A sparse file takes no disk space.
    await upload.truncate(GIB);
    const container = parts.use(
      await startHttpService({ request: (request, response) => void answer(request, response) }),
    );
    gateway = parts.use(await startGateway({ container }));
  });
  afterAll(() => parts.disposeAsync());

  it.each([
    [
      "upload",
      () => ["--http1.1", "--upload-file", file, "-w", "\n%{http_code}"],
      `received ${GIB}\n200`,
    ],
    [
      "download",
      () => ["--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{size_download}"],
      `${GIB}`,
    ],
  ])("is streamed and never buffered as a whole in an %s", async (_direction, flags, expected) => {
    const pids = [gateway.authServer.pid, gateway.envoy.process.pid];
    // Exclude what the very first request allocates.
    await fetch(gateway.url, { method: "PUT" });
    const before = await Promise.all(pids.map(peakMemory));
    expect(await runCommand("curl", ["-sS", ...flags(), `${gateway.url}/x`])).toBe(expected);
    const after = await Promise.all(pids.map(peakMemory));
    const [authServer, envoy] = after.map((bytes, i) => bytes - (before[i] ?? 0));
    expect(authServer).toBeLessThan(AUTH_SERVER_GROWTH);
    expect(envoy).toBeLessThan(ENVOY_GROWTH);
  });
});
