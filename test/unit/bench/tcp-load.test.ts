import { connect, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTcpLoad, type TcpLoad } from "../../../bench/tcp-load.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

describe.skipIf(process.env["SKIP_GO"] === "1")("the load on tunnels", () => {
  let load: TcpLoad;
  beforeAll(async () => {
    load = await startTcpLoad();
  });
  afterAll(() => load[Symbol.asyncDispose]());

  /** Starts a server that passes on what the real one sends, changed. */
  async function startChanging(change: (bytes: Buffer) => Buffer) {
    const server = createServer((socket) => {
      const real = connect({ host: "127.0.0.1", port: Number(load.target.split(":").at(-1)) });
      for (const each of [socket, real]) each.on("error", () => {});
      socket.pipe(real);
      real.on("data", (bytes: Buffer) => socket.write(change(bytes))).on("end", () => socket.end());
    });
    return { port: await listenOnLoopback(server), [Symbol.dispose]: () => void server.close() };
  }

  it("counts the connections that fail", async () => {
    using server = await startChanging((bytes) => bytes.fill("x", 0, 1));
    await expect(load.connectionRate(server.port)).rejects.toThrow("3000 connections failed");
  });

  it.each(["echoRate", "roundTripUs"] as const)("%s rejects when a byte is changed", async (of) => {
    let seen = 0;
    using server = await startChanging((bytes) => {
      seen += bytes.length;
      return seen > 10_000 ? bytes.fill((bytes[8] ?? 0) ^ 1, 8, 9) : bytes;
    });
    await expect(load[of](server.port)).rejects.toThrow("came back");
  });

  it.each(["connectionRate", "echoRate", "roundTripUs"] as const)("%s is a rate", async (of) => {
    using server = await startChanging((bytes) => bytes);
    const { figure, count } = await load[of](server.port);
    expect(figure).toBeGreaterThan(0);
    expect(count).toBeGreaterThan(0);
  });
});
