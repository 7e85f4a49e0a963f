import { once } from "node:events";
import { createServer } from "node:net";
import { afterAll, expect, it } from "vitest";
import { createHttp2Connections, type Http2Options } from "../../../src/http/http2.ts";
import { CHECK_CALL, openHttp2 } from "../../support/http2-client.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const parts = new AsyncDisposableStack();
afterAll(() => parts.disposeAsync());

async function setUp(options: Partial<Http2Options> = {}) {
  const connections = createHttp2Connections({
    answerCall: (_request, response) => {
      response.setHeader("x-by", "call");
      response.end();
    },
    answerRequest: (request, response) => {
      response.setHeader("x-by", request.method);
      response.end();
    },
    maxHeaderBytes: 65_536,
    idleTimeoutMs: 60_000,
    ...options,
  });
  const server = createServer((socket) => connections.accept(socket));
  parts.defer(() => {
    connections.destroy();
    server.close();
  });
  const port = await listenOnLoopback(server);
  const open = () => parts.use(openHttp2(`127.0.0.1:${port}`));
  return { connections, open };
}

it.each([
  ["application/grpc", "call"],
  ["application/grpc+proto", "call"],
  ["application/grpc;charset=utf-8", "call"],
  ["application/grpc-web", "POST"],
  ["application/grpc+json", "POST"],
  ["application/json", "POST"],
])("a request of type %s is answered by %s", async (type, by) => {
  const { open } = await setUp();
  const answer = await open().request({ ...CHECK_CALL, "content-type": type }, Buffer.alloc(0));
  expect(answer.headers["x-by"]).toBe(by);
});

it("a method that HTTP/1.1 does not know is passed on as PUT", async () => {
  const { open } = await setUp();
  expect((await open().request({ ":method": "FOO" })).headers["x-by"]).toBe("PUT");
});

it("an announced end leaves open streams open, and answers the first one of a new connection", async () => {
  const arrived = Promise.withResolvers<() => void>();
  const { connections, open } = await setUp({
    answerRequest: (request, response) => {
      if (request.url === "/wait") arrived.resolve(() => void response.end("done"));
      else response.end();
    },
  });
  const old = open();
  const wentAway = once(old.session, "goaway");
  const waiting = old.request({ ":path": "/wait" });
  const finish = await arrived.promise;
  connections.announceEnd();
  expect((await wentAway).slice(0, 2)).toEqual([0, 2 ** 31 - 1]);
  finish();
  expect((await waiting).body.toString()).toBe("done");
  const fresh = open();
  const told = once(fresh.session, "goaway");
  expect((await fresh.request({})).status).toBe(200);
  expect((await told)[0]).toBe(0);
});

it("an end can be announced while a connection is going away", async () => {
  const { connections, open } = await setUp();
  const client = open();
  await client.request({});
  connections.destroy();
  connections.announceEnd();
  await once(client.session, "close");
  expect(client.session.destroyed).toBe(true);
});

it("close ends idle connections now and busy ones after their last stream", async () => {
  let finish = () => {};
  const { connections, open } = await setUp({
    answerRequest: (request, response) => {
      if (request.url === "/wait") finish = () => void response.end("done");
      else response.end();
    },
  });
  const [idle, busy] = [open(), open()];
  await Promise.all([idle.request({}), busy.request({})]);
  const waiting = busy.request({ ":path": "/wait" });
  await busy.request({});
  connections.close();
  await once(idle.session, "close");
  finish();
  expect((await waiting).body.toString()).toBe("done");
  if (!busy.session.destroyed) await once(busy.session, "close");
  expect(busy.session.closed).toBe(true);
});

it("a connection without streams is closed after the idle timeout, one with a stream is not", async () => {
  const { open } = await setUp({
    idleTimeoutMs: 50,
    answerRequest: (request, response) => {
      if (request.url !== "/wait") response.end();
    },
  });
  const [idle, busy] = [open(), open()];
  void busy.request({ ":path": "/wait" }).catch(() => {});
  await idle.request({});
  await once(idle.session, "close");
  expect(busy.session.closed).toBe(false);
});

it("more header bytes than allowed are refused for that request alone", async () => {
  const { open } = await setUp({ maxHeaderBytes: 4096 });
  const client = open();
  await client.request({});
  await expect(client.request({ "x-a": "a".repeat(5000) })).rejects.toThrow(/closed/i);
  expect((await open().request({})).status).toBe(200);
});
