import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { splitByPreface } from "../../../src/http/preface.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const GET = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async function setUp() {
  const server = createServer((request, response) => void response.end(request.url));
  const http2 = Promise.withResolvers<Socket>();
  const undecided = splitByPreface(server, http2.resolve);
  const port = await listenOnLoopback(server);
  return {
    http2: http2.promise,
    undecided,
    open: async () => {
      const accepted = once(server, "connection");
      const socket = connect(port, "127.0.0.1").setNoDelay();
      await Promise.all([accepted, once(socket, "connect")]);
      return socket;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Sends bytes one by one, each in a packet of its own as far as the system lets it. */
async function sendSlowly(socket: Socket, bytes: string): Promise<void> {
  for (const byte of bytes) {
    await new Promise((resolve) => socket.write(byte, resolve));
    await new Promise(setImmediate);
  }
}

it("a connection that begins with a request is HTTP/1.1's, whole or in pieces", async () => {
  await using parts = await setUp();
  const whole = await parts.open();
  whole.write(GET);
  expect(await text(whole)).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\/a$/);
  for (const method of ["GET", "PROPFIND", "PUT", "POST"]) {
    const pieces = await parts.open();
    await sendSlowly(pieces, GET.replace("GET", method));
    expect(await text(pieces)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  }
});

it("a connection that begins with the preface is HTTP/2's, with all that it sent", async () => {
  await using parts = await setUp();
  const socket = await parts.open();
  void sendSlowly(socket, PREFACE);
  const given = await parts.http2;
  let received = "";
  given.on("data", (chunk: Buffer) => (received += chunk.toString()));
  while (received.length < PREFACE.length) await once(given, "data");
  expect(received).toBe(PREFACE);
  socket.destroy();
  given.destroy();
});

it("a client that goes away before it is decided does no harm", async () => {
  await using parts = await setUp();
  const ended = await parts.open();
  ended.end("PR");
  await once(ended.resume(), "close");
  const reset = await parts.open();
  reset.resetAndDestroy();
  const next = await parts.open();
  next.write(GET);
  expect(await text(next)).toContain("/a");
});

it("undecided connections can be closed", async () => {
  await using parts = await setUp();
  const silent = await parts.open();
  parts.undecided.closeAll();
  await once(silent.resume(), "close");
  expect(silent.destroyed).toBe(true);
});
