import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { createConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import { status } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { answerCall, rememberEnd } from "../../../src/grpc/call.ts";
import {
  Health,
  HealthCheckRequestSchema,
} from "../../../src/grpc/gen/grpc/health/v1/health_pb.ts";
import { CHECK_CALL, grpcFrame, openHttp2 } from "../../support/http2-client.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const frame = grpcFrame(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema)));

/** The library's handler of a method. */
function handlerOf(check: (context: HandlerContext) => Promise<object> | object) {
  const router = createConnectRouter({ grpcWeb: false, connect: false, requestGate: rememberEnd });
  router.rpc(Health.method.check, (_request, context) => check(context));
  return router.handlers[0];
}

/** A server that answers every call with a handler, and a client of it. */
async function setUp(handler: UniversalHandlerFn | undefined) {
  const parts = new AsyncDisposableStack();
  const faults: unknown[] = [];
  const server = createServer((request, response) =>
    answerCall(handler, request, response, (fault) => faults.push(fault)),
  );
  const streams: ServerHttp2Stream[] = [];
  server.on("stream", (stream: ServerHttp2Stream) => streams.push(stream));
  const port = await listenOnLoopback(server);
  parts.defer(() => void server.close());
  const client = parts.use(openHttp2(`127.0.0.1:${port}`));
  const call = async (headers: Readonly<Record<string, string>> = {}, body = frame) => {
    const answer = await client.request({ ...CHECK_CALL, ...headers }, body);
    return Number(answer.trailers["grpc-status"]);
  };
  return { client, faults, streams, call, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

it.each([
  ["an authority that is no URL", { ":authority": "[bad" }],
  ["a parameter in its content type", { "content-type": "application/grpc;charset=utf-8" }],
])("a call with %s is answered", async (_what, headers) => {
  await using parts = await setUp(handlerOf(() => ({})));
  expect(await parts.call(headers)).toBe(status.OK);
  expect(parts.faults).toEqual([]);
});

it.each(["/a.B/C", "//["])("a call of no method, %s, is UNIMPLEMENTED", async (path) => {
  await using parts = await setUp(undefined);
  expect(await parts.call({ ":path": path })).toBe(status.UNIMPLEMENTED);
  expect(parts.faults).toEqual([]);
});

it.each(["99999999H", "99999999M", "99999999S", "100H"])(
  "a deadline of days, %s, is none",
  async (timeout) => {
    const seen: unknown[] = [];
    await using parts = await setUp(
      handlerOf(({ timeoutMs }) => {
        seen.push(timeoutMs());
        return {};
      }),
    );
    expect(await parts.call({ "grpc-timeout": timeout })).toBe(status.OK);
    expect(seen).toEqual([undefined]);
  },
);

it.each(["99H", "9999M", "999999S", "99999999m"])(
  "the deadline %s is kept, and fits a timer",
  async (timeout) => {
    const seen: number[] = [];
    await using parts = await setUp(
      handlerOf(({ timeoutMs }) => {
        seen.push(timeoutMs() ?? 0);
        return {};
      }),
    );
    expect(await parts.call({ "grpc-timeout": timeout })).toBe(status.OK);
    expect(seen).toEqual([expect.any(Number)]);
    expect(seen[0]).toBeGreaterThan(80_000_000);
    expect(seen[0]).toBeLessThan(2 ** 31);
  },
);

it("a deadline ends a call whose request never does", async () => {
  await using parts = await setUp(handlerOf(() => ({})));
  const stream = parts.client.session.request({ ...CHECK_CALL, "grpc-timeout": "1m" });
  stream.resume().write(frame.subarray(0, 3));
  const [trailers] = await once(stream, "trailers");
  expect(trailers["grpc-status"]).toBe(String(status.DEADLINE_EXCEEDED));
  await once(stream, "close");
  expect(stream.rstCode).toBe(0);
  expect(parts.faults).toEqual([]);
});

it("a client that cancels aborts the method's signal, and a late answer does no harm", async () => {
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  await using parts = await setUp(
    handlerOf(async ({ signal }) => {
      started.resolve();
      await once(signal, "abort");
      aborted.resolve();
      return {};
    }),
  );
  const stream = parts.client.session.request(CHECK_CALL);
  stream.on("error", () => {}).end(frame);
  await started.promise;
  stream.close(8);
  await aborted.promise;
  await parts.call({ ":path": "/", "grpc-timeout": "1m" });
  expect(parts.faults).toEqual([]);
});

it("a call whose request was not read to its end closes its stream", async () => {
  const sent = Promise.withResolvers<void>();
  await using parts = await setUp(async ({ body }) => {
    await (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]().next();
    await sent.promise;
    return { status: 200, trailer: new Headers({ "grpc-status": "0" }) };
  });
  const stream = parts.client.session.request(CHECK_CALL);
  // More than a reader's buffer, so that reading stops.
  stream.resume().end(Buffer.alloc(190_000), sent.resolve);
  await once(stream, "close");
  const [atServer] = parts.streams;
  if (atServer?.destroyed === false) await once(atServer, "close");
  expect(atServer?.rstCode).toBe(0);
});

it("an unexpected error is reported and resets the stream", async () => {
  const bug = new TypeError("secret detail");
  await using parts = await setUp(() => Promise.reject(bug));
  await expect(parts.call()).rejects.toThrow("NGHTTP2_INTERNAL_ERROR");
  expect(parts.faults).toEqual([bug]);
});

it("an error after the client has gone is not reported", async () => {
  const started = Promise.withResolvers<AbortSignal>();
  const failed = Promise.withResolvers<void>();
  await using parts = await setUp(async ({ signal }) => {
    started.resolve(signal);
    await once(signal, "abort");
    setImmediate(failed.resolve);
    throw new TypeError("secret detail");
  });
  const stream = parts.client.session.request(CHECK_CALL);
  stream.on("error", () => {}).end(frame);
  await started.promise;
  stream.close(8);
  await failed.promise;
  expect(parts.faults).toEqual([]);
});
