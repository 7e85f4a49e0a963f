import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { expect, it } from "vitest";
import { answerCall } from "../../../src/grpc/call.ts";
import type { Answer, Method } from "../../../src/grpc/method.ts";
import { Status, StatusError } from "../../../src/grpc/status.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { CHECK_CALL, grpcFrame, openHttp2 } from "../../support/http2-client.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const frame = grpcFrame(Buffer.from("request"));
const reply = grpcFrame(Buffer.from("reply"));

/** A server of one method, and a client of it. */
async function setUp(run: Method["run"] | undefined) {
  const parts = new AsyncDisposableStack();
  const clock = createFakeClock();
  const errors: unknown[] = [];
  const server = createServer();
  const options = { clock, onFault: (error: unknown) => errors.push(error) };
  const method = run && { path: "/a", run };
  server.on("stream", (stream: ServerHttp2Stream, headers) =>
    answerCall(stream, headers, method, options),
  );
  const port = await listenOnLoopback(server);
  parts.defer(() => void server.close());
  const client = parts.use(openHttp2(`127.0.0.1:${port}`));
  const call = async (headers: Readonly<Record<string, string>> = {}, body = frame) => {
    const answer = await client.request({ ...CHECK_CALL, ...headers }, body);
    const { "grpc-status": status, "grpc-message": message } = answer.trailers;
    return { status: Number(status), message, body: answer.body };
  };
  return { clock, errors, server, client, call, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

it("a call is answered with the method's frame and OK", async () => {
  await using parts = await setUp((given) => {
    expect(given).toEqual(frame);
    return reply;
  });
  expect(await parts.call()).toEqual({ status: Status.OK, message: undefined, body: reply });
  expect(parts.clock.armed()).toEqual([]);
});

it("a call is answered when the method's promise settles", async () => {
  await using parts = await setUp(async () => reply);
  expect(await parts.call()).toMatchObject({ status: Status.OK, body: reply });
});

it("a stream of answers ends with OK, or with the status that it throws", async () => {
  await using parts = await setUp(async function* (_frame, metadata) {
    yield reply;
    yield reply;
    if (metadata["x-fail"] !== undefined) throw new StatusError(Status.UNAVAILABLE, "later");
  });
  const both = Buffer.concat([reply, reply]);
  expect(await parts.call()).toMatchObject({ status: Status.OK, body: both });
  expect(await parts.call({ "x-fail": "1" })).toEqual({
    status: Status.UNAVAILABLE,
    message: "later",
    body: both,
  });
});

it.each<[string, () => Answer]>([
  [
    "throws",
    () => {
      throw new StatusError(Status.NOT_FOUND, "none");
    },
  ],
  ["rejects with", () => Promise.reject(new StatusError(Status.NOT_FOUND, "none"))],
])("a StatusError that the method %s becomes the status", async (_how, run) => {
  await using parts = await setUp(run);
  expect(await parts.call()).toMatchObject({ status: Status.NOT_FOUND, message: "none" });
  expect(parts.errors).toEqual([]);
});

it("an unexpected error is reported, and the client gets a bare INTERNAL", async () => {
  const bug = new TypeError("secret detail");
  await using parts = await setUp(() => Promise.reject(bug));
  expect(await parts.call()).toMatchObject({ status: Status.INTERNAL, message: undefined });
  expect(parts.errors).toEqual([bug]);
});

it("a call of no method is UNIMPLEMENTED", async () => {
  await using parts = await setUp(undefined);
  expect(await parts.call()).toMatchObject({ status: Status.UNIMPLEMENTED });
});

it("a deadline ends the call, and the late answer is dropped", async () => {
  const late = Promise.withResolvers<Buffer>();
  const started = Promise.withResolvers<void>();
  await using parts = await setUp(() => {
    started.resolve();
    return late.promise;
  });
  const call = parts.call({ "grpc-timeout": "2S" });
  await started.promise;
  expect(parts.clock.armed()).toEqual([2000]);
  parts.clock.advance(2000);
  expect(await call).toMatchObject({
    status: Status.DEADLINE_EXCEEDED,
    message: "no%20answer%20within%202000%20ms",
  });
  late.resolve(reply);
  expect(parts.errors).toEqual([]);
});

it.each(["1", "1x", "123456789m", "-1S"])("the timeout %j is refused", async (timeout) => {
  await using parts = await setUp(() => reply);
  expect(await parts.call({ "grpc-timeout": timeout })).toMatchObject({
    status: Status.INVALID_ARGUMENT,
  });
});

it("a request that is cut short is refused", async () => {
  await using parts = await setUp(() => reply);
  expect(await parts.call({}, frame.subarray(0, 7))).toMatchObject({
    status: Status.INVALID_ARGUMENT,
    message: "the%20message%20is%20incomplete",
  });
});

it("a client that cancels aborts the method's signal, and a late answer does no harm", async () => {
  const aborted = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  await using parts = await setUp(async (_frame, _metadata, signal) => {
    started.resolve();
    await once(signal, "abort");
    aborted.resolve();
    return reply;
  });
  const stream = parts.client.session.request(CHECK_CALL);
  stream.on("error", () => {}).end(frame);
  await started.promise;
  stream.close(8);
  await aborted.promise;
  expect(parts.errors).toEqual([]);
  expect(parts.clock.armed()).toEqual([]);
});

it("the rest of a request is discarded for a second after its answer, and then refused", async () => {
  await using parts = await setUp(() => reply);
  const stream = parts.client.session.request({ ...CHECK_CALL, "grpc-timeout": "x" });
  await once(stream.resume(), "response");
  expect(parts.clock.armed()).toEqual([1000]);
  parts.clock.advance(1000);
  await once(stream, "close");
  expect(stream.rstCode).toBe(0);
});
