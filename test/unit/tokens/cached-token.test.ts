import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { createCachedToken, type CachedTokenOptions } from "../../../src/tokens/cached-token.ts";
import { MintQueueFull } from "../../../src/tokens/not-attempted.ts";
import type { IdToken } from "../../../src/tokens/id-token.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { idToken } from "../../support/tokens.ts";

const HOUR_MS = 3600_000;
const DUE_MS = HOUR_MS * 0.75;
const A = "https://a.run.app";
const unavailable = new MintError("mint_unavailable", "the token endpoint answered 503");

/** A cached token whose mints the test settles one by one. */
function setUp(options: Partial<CachedTokenOptions> = {}) {
  const clock = createFakeClock();
  const mints: {
    readonly reason: string;
    readonly caller: string;
    readonly succeed: (lifeMs?: number) => Promise<IdToken>;
    readonly fail: (error: unknown) => Promise<void>;
  }[] = [];
  const joined: string[] = [];
  let idle = 0;
  const cached = createCachedToken({
    always: true,
    mint: (reason, caller) => {
      const { promise, resolve, reject } = Promise.withResolvers<IdToken>();
      const obtainedAt = clock.now();
      mints.push({
        reason,
        caller,
        succeed: async (lifeMs) => {
          const token = idToken(A, obtainedAt, lifeMs);
          resolve(token);
          await settle();
          return token;
        },
        fail: async (error) => {
          reject(error);
          await settle();
        },
      });
      return promise;
    },
    join: (caller) => joined.push(caller),
    seed: undefined,
    refreshAt: 0.75,
    clock,
    onIdle: () => {
      idle += 1;
    },
    ...options,
  });
  const last = () => {
    const mint = mints.at(-1);
    if (mint === undefined) throw new Error("no mint was requested");
    return mint;
  };

  /** Mints the first token. */
  async function warmUp(): Promise<IdToken> {
    void cached.get();
    return last().succeed();
  }

  return { clock, mints, joined, cached, last, warmUp, idle: () => idle };
}

/** Lets everything run that promises have made ready. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a cached token", () => {
  it("is minted for whoever asks first, and others join", async () => {
    const { cached, mints, joined, last } = setUp();
    void cached.get("web");
    void cached.get("cart");
    expect(mints).toMatchObject([{ caller: "web" }]);
    expect(joined).toEqual(["cart"]);
    await last().succeed();
    void cached.get("cart");
    expect(joined).toEqual(["cart"]);
  });

  it("is renewed for whoever used it last", async () => {
    const { cached, clock, mints, last } = setUp();
    void cached.get("web");
    await last().succeed();
    void cached.get("cart");
    clock.advance(HOUR_MS * 0.8);
    expect(mints.map(({ caller, reason }) => `${reason} ${caller}`)).toEqual([
      "cold web",
      "renewal cart",
    ]);
  });

  it("is refused to a caller whose queue is full, and not to another", async () => {
    const { cached, mints, last } = setUp({ always: false });
    const refused = cached.get("flood");
    const full = new MintQueueFull("flood");
    await last().fail(full);
    await expect(refused).rejects.toBe(full);
    await expect(cached.get("flood")).rejects.toBe(full);
    expect(mints).toHaveLength(1);
    const found = cached.get("web");
    const token = await last().succeed();
    expect(await found).toBe(token);
  });
});

describe("a cached token without a value", () => {
  it("is minted once for 200 concurrent callers", async () => {
    const { cached, mints, last } = setUp();
    const callers = Array.from({ length: 200 }, () => cached.get());
    const token = await last().succeed();
    expect(new Set(await Promise.all(callers.map(async (each) => each)))).toEqual(new Set([token]));
    expect(mints.map(({ reason }) => reason)).toEqual(["cold"]);
    expect(cached.get()).toBe(token);
  });

  it("rejects every caller that waits, and further ones until the backoff is over", async () => {
    const { cached, mints, last, clock } = setUp({ always: false });
    const waiting = Promise.allSettled([cached.get(), cached.get()]);
    await last().fail(unavailable);
    expect(await waiting).toEqual([
      { status: "rejected", reason: unavailable },
      { status: "rejected", reason: unavailable },
    ]);
    clock.advance(999);
    await expect(cached.get()).rejects.toBe(unavailable);
    expect(mints).toHaveLength(1);
    clock.advance(1);
    void Promise.resolve(cached.get()).catch(() => {});
    expect(mints).toHaveLength(2);
    expect(clock.armed(), "nobody needs it, so no timer retries").toEqual([]);
  });

  it("retries by itself where it is always renewed", async () => {
    const { cached, mints, last, clock } = setUp();
    void Promise.resolve(cached.get()).catch(() => {});
    await last().fail(unavailable);
    clock.advance(1000);
    expect(mints).toHaveLength(2);
    const token = await last().succeed();
    expect(cached.get()).toBe(token);
  });

  it("may start with a token that is there already", () => {
    const now = createFakeClock().now();
    const seed = idToken(A, now);
    const { cached, mints } = setUp({ seed });
    expect(cached.get()).toBe(seed);
    expect(mints).toEqual([]);
  });
});

describe("a due token", () => {
  it("is served while one renewal runs, however many callers there are", async () => {
    const { cached, clock, mints, last, warmUp } = setUp();
    const first = await warmUp();
    clock.advance(DUE_MS);
    for (let caller = 0; caller < 50; caller++) expect(cached.get()).toBe(first);
    expect(mints.map(({ reason }) => reason)).toEqual(["cold", "renewal"]);
    const second = await last().succeed();
    expect(cached.get()).toBe(second);
  });

  it.each([
    [0, 0.675],
    [0.999_999, 0.825],
  ])("is renewed at refresh-at, jittered by 10 %% (random %f)", async (random, share) => {
    const { clock, warmUp } = setUp();
    clock.setRandom(random);
    await warmUp();
    expect(clock.armed()).toEqual([expect.closeTo(HOUR_MS * share, -2)]);
  });

  it("is served while renewals fail, which are retried with growing pauses", async () => {
    const { cached, clock, last, warmUp } = setUp();
    const first = await warmUp();
    clock.advance(DUE_MS);
    const pauses: number[] = [];
    for (let failures = 0; failures < 8; failures++) {
      await last().fail(unavailable);
      expect(cached.get()).toBe(first);
      const [pauseMs = Number.NaN] = clock.armed();
      pauses.push(pauseMs);
      clock.advance(pauseMs);
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    const renewed = await last().succeed();
    expect(cached.get()).toBe(renewed);
  });

  it("is retried at the instant of its expiry, however long the pauses have become", async () => {
    const { cached, clock, last, warmUp } = setUp();
    await warmUp();
    while (clock.now().monotonicMs < 1000 + HOUR_MS) {
      clock.advance(clock.armed()[0] ?? Number.NaN);
      if (clock.now().monotonicMs < 1000 + HOUR_MS) await last().fail(unavailable);
    }
    expect(clock.now().monotonicMs).toBe(1000 + HOUR_MS);
    const waiting = cached.get();
    const token = await last().succeed();
    expect(await waiting).toBe(token);
  });

  it("is no longer served from the instant of its expiry", async () => {
    const { cached, clock, warmUp } = setUp();
    const first = await warmUp();
    clock.advance(HOUR_MS - 1);
    expect(cached.get()).toBe(first);
    clock.advance(1);
    expect(cached.get()).toBeInstanceOf(Promise);
    expect(cached.peek()).toEqual({ token: undefined, error: undefined });
  });
});

describe("a token that is not always renewed", () => {
  it("is renewed if it was used within its life, and is idle otherwise", async () => {
    const { clock, mints, last, warmUp, idle } = setUp({ always: false });
    await warmUp();
    clock.advance(DUE_MS);
    expect(mints).toHaveLength(2);
    await last().succeed();
    clock.advance(DUE_MS);
    expect(mints).toHaveLength(2);
    expect(idle()).toBe(1);
  });
});

describe("a wall clock that was set beyond the token's expiry", () => {
  it("makes callers wait for one renewal, whose token is then served", async () => {
    const { cached, clock, mints, last, warmUp } = setUp();
    await warmUp();
    clock.shiftWall(2 * HOUR_MS);
    const [first, second] = [cached.get(), cached.get()];
    expect(mints).toHaveLength(2);
    const renewed = await last().succeed();
    expect(await first).toBe(renewed);
    expect(await second).toBe(renewed);
  });

  it("leaves the old token in use if the renewal fails, for as long as it lives", async () => {
    const { cached, clock, mints, last, warmUp } = setUp();
    const first = await warmUp();
    clock.shiftWall(2 * HOUR_MS);
    const waiting = cached.get();
    await last().fail(unavailable);
    expect(await waiting).toBe(first);
    expect(cached.get(), "without another renewal").toBe(first);
    expect(cached.peek()).toEqual({ token: first, error: unavailable });
    expect(mints).toHaveLength(2);
    clock.advance(HOUR_MS - 1);
    await last().fail(unavailable);
    expect(cached.get()).toBe(first);
    clock.advance(1);
    expect(cached.peek().token).toBeUndefined();
  });

  it("is compared anew, so that a second step is noticed", async () => {
    const { cached, clock, mints, last, warmUp } = setUp();
    await warmUp();
    for (const step of [1, 2]) {
      clock.shiftWall(2 * HOUR_MS);
      const waiting = cached.get();
      expect(waiting).toBeInstanceOf(Promise);
      expect(mints).toHaveLength(1 + step);
      await last().fail(unavailable);
      await waiting;
    }
  });

  it("ends the token if the issuer's clock agrees", async () => {
    const { cached, clock, last, warmUp } = setUp();
    const { expiresAtSeconds } = await warmUp();
    clock.shiftWall(2 * HOUR_MS);
    const waiting = cached.get();
    const issuerNowMs = expiresAtSeconds * 1000;
    const agreeing = new MintError("mint_unavailable", "503", { issuerNowMs });
    await last().fail(agreeing);
    await expect(waiting).rejects.toBe(agreeing);
    expect(cached.peek().token).toBeUndefined();
  });

  it("does not end the token if the issuer's clock contradicts", async () => {
    const { cached, clock, last, warmUp } = setUp();
    const first = await warmUp();
    clock.shiftWall(2 * HOUR_MS);
    const waiting = cached.get();
    const issuerNowMs = first.expiresAtSeconds * 1000 - 1;
    await last().fail(new MintError("mint_rejected", "invalid_grant", { issuerNowMs }));
    expect(await waiting).toBe(first);
  });

  it("only makes a token due if it is short of the expiry", async () => {
    const { cached, clock, mints, warmUp } = setUp();
    const first = await warmUp();
    clock.shiftWall(HOUR_MS * 0.8);
    expect(cached.get()).toBe(first);
    expect(mints).toHaveLength(2);
  });
});

describe("a machine that slept beyond the token's expiry", () => {
  it("does not serve the token, whether or not it can be renewed", async () => {
    const { cached, clock, last, warmUp } = setUp();
    await warmUp();
    clock.sleep(2 * HOUR_MS);
    const waiting = cached.get();
    await last().fail(unavailable);
    await expect(waiting).rejects.toBe(unavailable);
  });

  it("does not serve the token either if the wall clock was set back meanwhile", async () => {
    const { cached, clock, warmUp } = setUp();
    await warmUp();
    clock.sleep(2 * HOUR_MS);
    clock.shiftWall(-2 * HOUR_MS);
    expect(cached.get()).toBeInstanceOf(Promise);
  });
});

describe("a token that is pushed", () => {
  it.each([
    ["10 minutes before its expiry", HOUR_MS, 0.9, HOUR_MS - 600_000],
    ["at half its life if that is shorter", 40_000, 0.9, 20_000],
    ["at refresh-at if that is earlier", HOUR_MS, 0.5, HOUR_MS / 2],
  ])("is renewed %s", async (_when, lifeMs, refreshAt, dueMs) => {
    const { cached, clock, mints, last } = setUp({ refreshAt, always: false });
    cached.renewForPush();
    void cached.get();
    await last().succeed(lifeMs);
    clock.advance(dueMs - 1);
    expect(mints).toHaveLength(1);
    clock.advance(1);
    expect(mints).toHaveLength(2);
  });

  it("is not renewed later because of jitter", async () => {
    const { cached, clock, warmUp } = setUp({ refreshAt: 0.9 });
    clock.setRandom(0.999_999);
    cached.renewForPush();
    await warmUp();
    expect(clock.armed()).toEqual([HOUR_MS - 600_000]);
  });

  it("is renewed earlier from its first push on", async () => {
    const { cached, clock, warmUp } = setUp({ refreshAt: 0.9 });
    await warmUp();
    clock.advance(HOUR_MS - 900_000);
    cached.renewForPush();
    expect(clock.armed()).toEqual([300_000]);
  });

  it("is renewed immediately if its first push comes late, and served meanwhile", async () => {
    const { cached, clock, mints, warmUp } = setUp({ refreshAt: 0.9 });
    const first = await warmUp();
    clock.advance(HOUR_MS - 480_000);
    cached.renewForPush();
    expect(cached.get()).toBe(first);
    clock.advance(0);
    expect(mints).toHaveLength(2);
  });

  it("is retried at the pace of the backoff, not of the polls", async () => {
    const { cached, clock, mints, last, warmUp } = setUp({ refreshAt: 0.9 });
    const first = await warmUp();
    clock.advance(HOUR_MS * 0.9);
    await last().fail(unavailable);
    cached.renewForPush();
    expect(cached.get()).toBe(first);
    clock.advance(999);
    expect(cached.get()).toBe(first);
    expect(mints).toHaveLength(2);
    clock.advance(1);
    expect(mints).toHaveLength(3);
  });
});

describe("forgetFailures", () => {
  it("retries immediately after a failure", async () => {
    const { cached, clock, mints, last } = setUp();
    void Promise.resolve(cached.get()).catch(() => {});
    await last().fail(unavailable);
    cached.forgetFailures();
    clock.advance(0);
    expect(mints).toHaveLength(2);
  });

  it("does nothing without a failure", async () => {
    const { cached, clock, warmUp } = setUp();
    await warmUp();
    const armed = clock.armed();
    cached.forgetFailures();
    expect(clock.armed()).toEqual(armed);
  });
});

describe("stop", () => {
  it("ends the renewal, also of a mint that succeeds later", async () => {
    const { cached, clock, last } = setUp();
    const waiting = cached.get();
    cached.stop();
    const token = await last().succeed();
    expect(await waiting).toBe(token);
    expect(clock.armed()).toEqual([]);
  });

  it("gives callers that wait the successor's token", async () => {
    const { cached, clock, last } = setUp();
    const waiting = cached.get();
    const successor = idToken(A, clock.now());
    cached.stop(() => successor);
    await last().fail(unavailable);
    expect(await waiting).toBe(successor);
  });
});
