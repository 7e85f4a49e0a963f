import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { prepareDrain } from "../../../src/http/drain.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const NO_HTTP2 = { announceEnd: () => {}, close: () => {}, destroy: () => {} };
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/** A server whose requests the test answers itself. */
async function setUp(server = createServer()) {
  const clock = createFakeClock();
  const drain = prepareDrain(server, NO_HTTP2, clock);
  const port = await listenOnLoopback(server);
  return {
    clock,
    drain,
    /** A new connection, known to the server as well. */
    open: async () => {
      const accepted = once(server, "connection");
      const socket = connect(port, "127.0.0.1");
      await Promise.all([accepted, once(socket, "connect")]);
      return socket;
    },
    request: async () => (await once(server, "request")) as [IncomingMessage, ServerResponse],
  };
}

it("without connections ends immediately", async () => {
  const { clock, drain } = await setUp();
  await drain(10_000);
  expect(clock.armed()).toEqual([]);
});

it("closes an idle connection after one second", async () => {
  const { clock, drain, open } = await setUp();
  const idle = await open();
  const drained = drain(10_000);
  clock.advance(999);
  expect(clock.armed()).toEqual([1, 9001]);
  clock.advance(1);
  await once(idle.resume(), "close");
  await drained;
});

it("answers a request that comes within that second, and closes its connection", async () => {
  const { clock, drain, open, request } = await setUp();
  const socket = await open();
  const drained = drain(10_000);
  socket.write(GET);
  (await request())[1].end("answer");
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n(?:.*\r\n)*Connection: close\r\n/);
  await drained;
  expect(clock.armed()).toEqual([]);
});

it("waits for an open request", async () => {
  const { clock, drain, open, request } = await setUp();
  const socket = await open();
  socket.write(GET);
  const [, response] = await request();
  const drained = drain(10_000);
  clock.advance(9999);
  response.end("late");
  expect(await text(socket)).toContain("late");
  await drained;
});

it("cuts an open request off when the timeout is over", async () => {
  const { clock, drain, open, request } = await setUp();
  const socket = await open();
  socket.on("error", () => {}).write(GET);
  await request();
  const drained = drain(10_000);
  clock.advance(10_000);
  await drained;
  expect(await text(socket).catch(() => "reset")).toMatch(/^(?:reset)?$/);
});

it("cuts a connection off that is still in its TLS handshake when the timeout is over", async () => {
  // The server takes over no connection before the end of its handshake.
  const { clock, drain, open } = await setUp(createServer().removeAllListeners("connection"));
  const socket = await open();
  const drained = drain(10_000);
  clock.advance(10_000);
  await drained;
  await once(socket.resume(), "close");
  expect(clock.armed()).toEqual([]);
});
