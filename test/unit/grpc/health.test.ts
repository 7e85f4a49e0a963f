import { expect, it } from "vitest";
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
} from "../../../src/grpc/gen/grpc/health/v1/health_pb.ts";
import { healthMethods } from "../../../src/grpc/health.ts";
import { decodeFrame, encodeFrame } from "../../../src/grpc/message-frame.ts";
import { Status, StatusError } from "../../../src/grpc/status.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;
const SERVICE = "a.B";

async function untilArmed(clock: FakeClock): Promise<void> {
  while (clock.armed().length === 0) await new Promise(setImmediate);
}

function setUp() {
  const state = { isReady: false };
  const drain = new AbortController();
  const client = new AbortController();
  const clock = createFakeClock();
  const [check, watch] = healthMethods({
    services: [SERVICE],
    isReady: () => state.isReady,
    draining: drain.signal,
    clock,
  });
  const call = (method: typeof check, service: string) =>
    method?.run(encodeFrame(HealthCheckRequestSchema, { service }), {}, client.signal);
  const decode = (frame: Buffer) => decodeFrame(HealthCheckResponseSchema, frame).status;
  return {
    state,
    drain,
    client,
    clock,
    check: (service: string) => decode(call(check, service) as Buffer),
    watch: (service: string) => {
      const frames = (call(watch, service) as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
      return async () => {
        const { value, done } = await frames.next();
        return done === true ? "end" : decode(value);
      };
    },
  };
}

it("Check follows readiness for the server and its services, until a drain", () => {
  const { state, drain, check } = setUp();
  expect([check(""), check(SERVICE)]).toEqual([NOT_SERVING, NOT_SERVING]);
  state.isReady = true;
  expect([check(""), check(SERVICE)]).toEqual([SERVING, SERVING]);
  drain.abort();
  expect(check("")).toBe(NOT_SERVING);
});

it("Check of another service is NOT_FOUND", () => {
  expect(() => setUp().check("c.D")).toThrow(new StatusError(Status.NOT_FOUND, "unknown service"));
});

it("Watch reports each change within a second, and nothing else", async () => {
  const { state, clock, watch } = setUp();
  const next = watch("");
  expect(await next()).toBe(NOT_SERVING);
  const serving = next();
  await untilArmed(clock);
  clock.advance(1000);
  await untilArmed(clock);
  state.isReady = true;
  clock.advance(1000);
  expect(await serving).toBe(SERVING);
});

it("Watch of another service is SERVICE_UNKNOWN, and stays open", async () => {
  const { clock, watch } = setUp();
  const next = watch("c.D");
  expect(await next()).toBe(SERVICE_UNKNOWN);
  void next();
  await untilArmed(clock);
  expect(clock.armed()).toEqual([1000]);
});

it("Watch reports a drain immediately and ends with UNAVAILABLE", async () => {
  const { state, drain, clock, watch } = setUp();
  state.isReady = true;
  const next = watch("");
  expect(await next()).toBe(SERVING);
  const last = next();
  drain.abort();
  expect(await last).toBe(NOT_SERVING);
  await expect(next()).rejects.toThrow(
    new StatusError(Status.UNAVAILABLE, "the server is draining"),
  );
  expect(clock.armed()).toEqual([]);
});

it("Watch ends when its client goes away", async () => {
  const { client, clock, watch } = setUp();
  const next = watch("");
  await next();
  const last = next();
  client.abort();
  expect(await last).toBe("end");
  expect(clock.armed()).toEqual([]);
});
