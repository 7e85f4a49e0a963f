import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { createMintQueue } from "../../../src/tokens/mint-queue.ts";
import { createTokenSource, type TokenSourceOptions } from "../../../src/tokens/token-source.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { idToken } from "../../support/tokens.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const A = "https://a.run.app";

/** A token source whose mints succeed at once, with tokens of this life, until told otherwise. */
function setUp(lifeMs: number, options: Partial<TokenSourceOptions> = {}) {
  const clock = createFakeClock();
  const endpoint = { lifeMs, mints: 0, isDown: false };
  const events = { minted: () => {}, mintFailed: () => {}, clockCompared: () => {} };
  const source = createTokenSource({
    queue: createMintQueue({ first: A, mintTimeoutMs: 5000, maxWaiting: 1000, clock, events }),
    mint: async (audience) => {
      endpoint.mints += 1;
      if (endpoint.isDown) throw new MintError("mint_unavailable", "down");
      return idToken(audience, clock.now(), endpoint.lifeMs);
    },
    configured: [],
    maxAudiences: 3,
    refreshAt: 0.9,
    clock,
    ...options,
  });

  /** Lets the time pass second by second, and mints be made. */
  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += SECOND_MS) {
      clock.advance(SECOND_MS);
      await settle();
    }
  }

  return { clock, endpoint, source, pass };
}

/** Lets everything that promises have made ready run. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a pushed token", () => {
  it.each([
    ["10 minutes before it ends", HOUR_MS, 0.9, 50 * MINUTE_MS],
    ["at half its life, where that is shorter", 40 * SECOND_MS, 0.9, 20 * SECOND_MS],
    ["at refresh-at, where that is earlier", HOUR_MS, 0.5, 30 * MINUTE_MS],
  ])("is renewed %s", async (_what, lifeMs, refreshAt, dueMs) => {
    const { clock, source, endpoint } = setUp(lifeMs, { refreshAt });
    const first = await source.tokenToPush(A);
    expect(source.tokenToPush(A)).toBe(first);
    clock.advance(dueMs - 1);
    expect(endpoint.mints).toBe(1);
    clock.advance(1);
    await settle();
    expect(endpoint.mints).toBe(2);
    expect(source.tokenToPush(A)).not.toBe(first);
    source.close();
  });

  it("is renewed no later for its jitter", async () => {
    const { clock, source } = setUp(HOUR_MS);
    clock.setRandom(0.999_999);
    await source.tokenToPush(A);
    expect(clock.armed()).toEqual([50 * MINUTE_MS]);
    source.close();
  });

  it("is renewed for each holder, when checks alone would have waited longer", async () => {
    const { clock, source, endpoint, pass } = setUp(HOUR_MS);
    const first = await source.token(A);
    await pass(45 * MINUTE_MS);
    expect(source.tokenToPush(A)).toBe(first);
    expect(clock.armed()).toEqual([5 * MINUTE_MS]);
    await pass(5 * MINUTE_MS);
    expect(endpoint.mints).toBe(2);
    source.close();
  });

  it("is renewed at once where it is asked for late, and served meanwhile", async () => {
    const { source, endpoint, pass } = setUp(HOUR_MS);
    const first = await source.token(A);
    await pass(52 * MINUTE_MS);
    expect(endpoint.mints).toBe(1);
    expect(source.tokenToPush(A)).toBe(first);
    await settle();
    expect(endpoint.mints).toBe(2);
    expect(source.tokenToPush(A)).not.toBe(first);
    source.close();
  });

  it("always has life left, poll after poll, and goes idle when polls end", async () => {
    const { clock, source, endpoint, pass } = setUp(HOUR_MS);
    for (let polls = 0; polls < 6 * 60; polls++) {
      const { obtainedAt, lifeMs } = await source.tokenToPush(A);
      const leftMs = lifeMs - (clock.now().wallMs - obtainedAt.wallMs);
      expect(leftMs).toBeGreaterThan(9 * MINUTE_MS);
      await pass(MINUTE_MS);
    }
    expect(endpoint.mints).toBe(8);
    await pass(2 * HOUR_MS);
    expect(source.size()).toBe(0);
    expect(clock.armed()).toEqual([]);
  });

  it("is retried at the pace of failures, not at that of polls", async () => {
    const { clock, source, endpoint, pass } = setUp(HOUR_MS);
    const first = await source.token(A);
    endpoint.isDown = true;
    await pass(54 * MINUTE_MS);
    expect(endpoint.mints).toBe(2);
    expect(source.tokenToPush(A)).toBe(first);
    clock.advance(SECOND_MS - 1);
    await settle();
    expect(endpoint.mints).toBe(2);
    clock.advance(1);
    await settle();
    expect(endpoint.mints).toBe(3);
    source.close();
  });
});
