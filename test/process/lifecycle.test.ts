import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { json, text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import type { TokenEndpoint } from "../support/token-endpoint.ts";

const A = "https://a.run.app";
const OTHER = "https://other.run.app";
let endpoint: TokenEndpoint;
let keyFile = "";
const parts = new AsyncDisposableStack();

beforeAll(async () => {
  ({ endpoint, keyFile } = parts.use(await startKeyedEndpoint()));
});
afterAll(() => parts.disposeAsync());
beforeEach(() => endpoint.setFault(undefined));

const serve = (...flags: readonly string[]) =>
  startServer(["--credentials", keyFile, "--audience", A, "--allow-audience", OTHER, ...flags]);

/** Sends a check for an audience over a connection of `agent`, or else over a new one. */
function check(server: ServerProcess, audience = A, agent?: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(`${server.url}/check`, {
      headers: { "x-id-token-audience": audience },
      ...(agent && { agent }),
    })
      .once("response", resolve)
      .once("error", reject)
      .end();
  });
}

/** Polls for an audience's token as Envoy does in a push config. */
function push(server: ServerProcess, audience: string, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(`${server.url}/v3/discovery:secrets`, { method: "POST", agent })
      .once("response", resolve)
      .once("error", reject)
      .end(JSON.stringify({ resource_names: [audience] }));
  });
}

const minted = (server: ServerProcess, audience: string) =>
  server.line((line) => line.event === "minted" && line["audience"] === audience);

describe("a token", () => {
  it("is minted once for 200 concurrent checks with a cold cache, and is cached then", async () => {
    await using server = await serve();
    await minted(server, A);
    const before = endpoint.exchanges.length;
    endpoint.pause();
    const checks = Array.from({ length: 200 }, () => check(server, OTHER));
    await endpoint.nextExchange();
    endpoint.resume();
    const answers = await Promise.all(checks);
    const headers = answers.map((answer) => answer.resume().headers["authorization"]);
    expect(answers.every(({ statusCode }) => statusCode === 200)).toBe(true);
    expect(new Set(headers).size).toBe(1);
    expect(headers[0]).toMatch(/^Bearer [\w-]+\.[\w-]+\.[\w-]+$/);
    (await check(server, OTHER)).resume();
    expect(endpoint.exchanges).toHaveLength(before + 1);
  });
});

describe("a start while the token endpoint is down", () => {
  it("leaves the server running but not ready until the endpoint is back", async () => {
    await endpoint.stopListening();
    await using server = await serve();
    await server.event("mint_failed");
    const notReady = await fetch(`${server.url}/readyz`);
    expect(notReady.status).toBe(503);
    expect(await notReady.json()).toEqual({
      status: "not ready",
      missing: [
        {
          audience: A,
          error: "mint_unavailable",
          reason: `no answer from ${new URL(endpoint.url).host}: ECONNREFUSED`,
        },
      ],
    });
    const refused = await check(server);
    expect(refused.statusCode).toBe(503);
    expect(await json(refused)).toEqual({ error: "mint_unavailable" });
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
    await endpoint.listenAgain();
    await minted(server, A);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    expect((await check(server)).resume().statusCode).toBe(200);
  });
});

describe("a skewed clock", () => {
  afterEach(() => endpoint.setClockOffset(0));

  async function skewOf(server: ServerProcess): Promise<number> {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    return Number(/^idtoken_authz_clock_skew_seconds (\S+)/m.exec(metrics)?.[1]);
  }

  it("is logged while tokens still work", async () => {
    endpoint.setClockOffset(-120_000);
    await using server = await serve();
    expect(await server.event("clock_skewed")).toMatchObject({
      level: "warn",
      msg: "this machine's clock is ahead of the issuer's",
    });
    expect(Math.abs((await skewOf(server)) - 120)).toBeLessThan(3);
    expect((await check(server)).resume().statusCode).toBe(200);
  });

  it("is logged when the skew is so large that assertions are rejected", async () => {
    endpoint.setClockOffset(7_200_000);
    await using server = await serve();
    expect(await server.event("clock_skewed")).toMatchObject({
      level: "warn",
      msg: "this machine's clock is behind the issuer's",
    });
    expect(Math.abs((await skewOf(server)) + 7200)).toBeLessThan(3);
    const refused = await check(server);
    expect(refused.statusCode).toBe(503);
    expect(await json(refused)).toEqual({ error: "mint_rejected" });
  });
});

describe("SIGTERM", () => {
  it("makes the server not ready immediately, finishes open checks and exits with 0", async () => {
    await using server = await serve();
    await minted(server, A);
    endpoint.pause();
    const open = check(server, OTHER);
    await endpoint.nextExchange();
    server.signal("SIGTERM");
    await server.event("draining");
    const ready = await fetch(`${server.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ status: "draining" });
    endpoint.resume();
    const answer = await open;
    expect(answer.statusCode).toBe(200);
    expect(await text(answer)).toBe("");
    expect(await server.ended).toBe(0);
  });

  it("closes a keep-alive connection after its next answer, not during a request", async () => {
    await using server = await serve();
    await minted(server, A);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const before = await check(server, A, agent);
    expect(before.headers["connection"]).toBe("keep-alive");
    await text(before);
    server.signal("SIGTERM");
    await server.event("draining");
    const after = await check(server, A, agent);
    expect(after.statusCode).toBe(200);
    expect(after.headers["connection"]).toBe("close");
    await text(after);
    expect(await server.ended).toBe(0);
  });

  it.each([
    ["a check", check],
    ["a push", push],
  ])(
    "closes a keep-alive connection after the answer to %s that had to wait",
    async (_what, ask) => {
      await using server = await serve("--mint-timeout", "60s", "--drain-timeout", "60s");
      await minted(server, A);
      const idle = connect({ host: "127.0.0.1", port: Number(new URL(server.url).port) });
      await once(idle, "connect");
      endpoint.pause();
      const open = ask(server, OTHER, new Agent({ keepAlive: true }));
      await endpoint.nextExchange();
      server.signal("SIGTERM");
      // Once idle connections are closed, the server accepts no new ones either.
      await once(idle.resume(), "close");
      endpoint.resume();
      const answer = await open;
      expect(answer.headers["connection"]).toBe("close");
      await text(answer);
      expect(await server.ended).toBe(0);
    },
  );

  it("waits no longer than the drain timeout for an open check", async () => {
    await using server = await serve("--drain-timeout", "300ms", "--mint-timeout", "60s");
    await minted(server, A);
    endpoint.setFault({ kind: "hang" });
    const open = check(server, OTHER).catch(({ code }) => code);
    await endpoint.nextExchange();
    server.signal("SIGTERM");
    expect(await open).toBe("ECONNRESET");
    expect(await server.ended).toBe(0);
  });

  it("makes the server exit with 1 immediately if another signal follows", async () => {
    await using server = await serve("--mint-timeout", "60s");
    await minted(server, A);
    endpoint.setFault({ kind: "hang" });
    const open = check(server, OTHER).catch(({ code }) => code);
    await endpoint.nextExchange();
    server.signal("SIGTERM");
    await server.event("draining");
    server.signal("SIGINT");
    expect(await server.ended).toBe(1);
    expect(await open).toBe("ECONNRESET");
  });
});

describe("SIGUSR1", () => {
  it("does not open Node's debugger", async () => {
    await using server = await serve();
    server.signal("SIGUSR1");
    expect((await check(server)).resume().statusCode).toBe(200);
    await server.stop();
    // Nothing is on standard error, where the debugger would say its address.
    await expect(server.event("internal_error")).rejects.toThrow(/^the server ended \(0\): $/);
  });
});
