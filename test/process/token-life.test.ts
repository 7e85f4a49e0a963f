import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startInProcess } from "../support/in-process-server.ts";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import { startServer } from "../support/server-process.ts";
import type { TokenEndpoint } from "../support/token-endpoint.ts";

const HOUR_MS = 3600_000;
const AUDIENCE = "https://a.run.app";
/** Makes a program set its own wall clock two hours ahead on SIGUSR2, and log that it did. */
const SET_CLOCK = `
  const readClock = Date.now;
  process.on("SIGUSR2", () => {
    Date.now = () => readClock() + ${2 * HOUR_MS};
    process.stdout.write('{"msg":"the wall clock was set"}\\n');
  });
`;
const parts = new AsyncDisposableStack();
let endpoint: TokenEndpoint;
let flags: readonly string[] = [];

beforeAll(async () => {
  const keyed = parts.use(await startKeyedEndpoint());
  ({ endpoint } = keyed);
  flags = [`--credentials=${keyed.keyFile}`, `--audience=${AUDIENCE}`];
});
afterEach(() => {
  endpoint.setFault(undefined);
  endpoint.setDateOffset(0);
});
afterAll(() => parts.disposeAsync());

describe("a token whose issuer's Date is 12 hours behind", () => {
  it("is not served after its life of one hour", async () => {
    endpoint.setDateOffset(-12 * HOUR_MS);
    await using server = await startInProcess(endpoint, flags);
    expect(await server.check()).toMatchObject({ status: 200 });
    endpoint.setFault({ kind: "status", status: 503 });
    server.clock.advance(HOUR_MS);
    expect(await server.check()).toMatchObject({ status: 503, token: null });
  });
});

describe("a wall clock that is set two hours ahead", () => {
  it("does not invalidate a valid token that cannot be renewed", async () => {
    await using server = await startInProcess(endpoint, flags);
    const { token } = await server.check();
    endpoint.setFault({ kind: "status", status: 503 });
    server.clock.shiftWall(2 * HOUR_MS);
    expect(await server.check()).toMatchObject({ status: 200, token });
    expect(await server.check(), "during the backoff").toMatchObject({ status: 200, token });
    expect(server.exchanges(), "one renewal was tried").toBe(2);
    server.clock.advance(HOUR_MS);
    expect(await server.check(), "after an hour of life").toMatchObject({ status: 503 });
  });

  it("does not invalidate a valid token in the real program either", async () => {
    const preload = `--import=data:text/javascript,${encodeURIComponent(SET_CLOCK)}`;
    await using server = await startServer(flags, { NODE_OPTIONS: preload });
    const check = async () => {
      const { status, headers } = await fetch(`${server.url}/check`);
      return { status, token: headers.get("authorization") };
    };
    const before = await check();
    expect(before.status).toBe(200);
    endpoint.setFault({ kind: "status", status: 503 });
    server.signal("SIGUSR2");
    await server.line(({ msg }) => msg === "the wall clock was set");
    expect(await check()).toEqual(before);
    await server.line(({ event, reason }) => event === "mint_failed" && reason === "renewal");
    expect(await check(), "during the backoff").toEqual(before);
  });
});

describe("a machine that was suspended for two hours", () => {
  it("does not serve a token that expired meanwhile", async () => {
    await using server = await startInProcess(endpoint, flags);
    expect(await server.check()).toMatchObject({ status: 200 });
    endpoint.setFault({ kind: "status", status: 503 });
    server.clock.sleep(2 * HOUR_MS);
    expect(await server.check()).toMatchObject({ status: 503, token: null });
  });
});

describe("a virtual machine that was paused for two hours, which only its wall clock shows", () => {
  it("does not serve the expired token if the issuer is reachable", async () => {
    await using server = await startInProcess(endpoint, flags);
    expect(await server.check()).toMatchObject({ status: 200 });
    server.clock.shiftWall(2 * HOUR_MS);
    expect(await server.check()).toMatchObject({ status: 200 });
    expect(server.exchanges(), "the check waited for a new token").toBe(2);
  });
});
