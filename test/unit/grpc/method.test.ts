import { expect, it } from "vitest";
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthCheckResponseSchema,
} from "../../../src/grpc/gen/grpc/health/v1/health_pb.ts";
import { decodeFrame, encodeFrame } from "../../../src/grpc/message-frame.ts";
import { serverStreaming, unary } from "../../../src/grpc/method.ts";

const frame = encodeFrame(HealthCheckRequestSchema, { service: "a" });
const { signal } = new AbortController();
const statusIn = (bytes: Buffer) => decodeFrame(HealthCheckResponseSchema, bytes).status;

it("a unary method decodes its request and encodes its answer", async () => {
  const seen: unknown[] = [];
  const method = unary(Health.method.check, ({ service }, metadata) => {
    seen.push(service, metadata["x-a"]);
    return service === "a"
      ? { status: ServingStatus.SERVING }
      : Promise.resolve({ status: ServingStatus.NOT_SERVING });
  });
  expect(method.path).toBe("/grpc.health.v1.Health/Check");
  const answer = method.run(frame, { "x-a": "1" }, signal);
  expect(answer).toBeInstanceOf(Buffer);
  expect(statusIn(answer as Buffer)).toBe(1);
  expect(seen).toEqual(["a", "1"]);
  const other = encodeFrame(HealthCheckRequestSchema, {});
  expect(statusIn(await (method.run(other, {}, signal) as Promise<Buffer>))).toBe(2);
});

it("a streaming method encodes each of its answers", async () => {
  const method = serverStreaming(Health.method.watch, async function* ({ service }, given) {
    expect([service, given]).toEqual(["a", signal]);
    yield { status: ServingStatus.SERVING };
    yield { status: ServingStatus.NOT_SERVING };
  });
  expect(method.path).toBe("/grpc.health.v1.Health/Watch");
  const answers: Buffer[] = [];
  const stream = method.run(frame, {}, signal) as AsyncIterable<Buffer>;
  for await (const answer of stream) answers.push(answer);
  expect(answers.map(statusIn)).toEqual([1, 2]);
});
