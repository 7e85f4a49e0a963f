import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createHandlerContext } from "@connectrpc/connect";
import { expect, it } from "vitest";
import {
  Health,
  HealthCheckRequestSchema,
} from "../../../src/grpc/gen/grpc/health/v1/health_pb.ts";
import { createHealth } from "../../../src/grpc/health.ts";
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
  const health = createHealth({
    services: [SERVICE],
    isReady: () => state.isReady,
    draining: drain.signal,
    clock,
  });
  const context = createHandlerContext({
    service: Health,
    method: Health.method.watch,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "http://authz/",
    requestSignal: client.signal,
  });
  const ask = (service: string) => create(HealthCheckRequestSchema, { service });
  return {
    state,
    drain,
    client,
    clock,
    check: (service: string) => health.check(ask(service), context),
    watch: (service: string) => {
      const answers = health.watch(ask(service), context)[Symbol.asyncIterator]();
      return async () => ((await answers.next()).value as { status: number }).status;
    },
  };
}

it("Check follows readiness for the server and its services, until a drain", () => {
  const { state, drain, check } = setUp();
  expect([check(""), check(SERVICE)]).toEqual([{ status: NOT_SERVING }, { status: NOT_SERVING }]);
  state.isReady = true;
  expect([check(""), check(SERVICE)]).toEqual([{ status: SERVING }, { status: SERVING }]);
  drain.abort();
  expect(check("")).toEqual({ status: NOT_SERVING });
});

it("Check of another service is NOT_FOUND", () => {
  expect(() => setUp().check("c.D")).toThrow(new ConnectError("unknown service", Code.NotFound));
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
    new ConnectError("the server is draining", Code.Unavailable),
  );
  expect(clock.armed()).toEqual([]);
});

it("Watch ends with its call", async () => {
  const { client, clock, watch } = setUp();
  const next = watch("");
  await next();
  const last = next();
  const reason = new Error("over");
  client.abort(reason);
  await expect(last).rejects.toBe(reason);
  expect(clock.armed()).toEqual([]);
});
