import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { createMintQueue } from "../../../src/tokens/mint-queue.ts";
import { createTokenSource, type TokenSourceOptions } from "../../../src/tokens/token-source.ts";
import type { IdToken } from "../../../src/tokens/id-token.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { idToken } from "../../support/tokens.ts";

const HOUR_MS = 3600_000;
const A = "https://a.run.app";
const B = "https://b.run.app";
const unavailable = new MintError("mint_unavailable", "the token endpoint answered 503");
const rejected = new MintError("mint_rejected", "invalid_grant");

/** A token source over mints that the test settles one by one. */
function setUp(options: Partial<TokenSourceOptions> = {}) {
  const clock = createFakeClock();
  const mints: {
    readonly audience: string;
    readonly signal: AbortSignal;
    readonly succeed: (lifeMs?: number) => Promise<IdToken>;
    readonly fail: (error: unknown) => Promise<void>;
  }[] = [];
  const told: string[] = [];
  const queue = createMintQueue({
    first: A,
    mintTimeoutMs: 5000,
    maxWaiting: 1000,
    clock,
    events: {
      minted: ({ reason }) => told.push(`minted ${reason}`),
      mintFailed: ({ reason, error }) => told.push(`${error.code} ${reason}`),
      clockCompared: () => {},
    },
  });
  const source = createTokenSource({
    queue,
    mint: (audience, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<IdToken>();
      const obtainedAt = clock.now();
      mints.push({
        audience,
        signal,
        succeed: async (lifeMs) => {
          resolve(idToken(audience, obtainedAt, lifeMs));
          const token = await promise;
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
    configured: [A],
    maxAudiences: 3,
    refreshAt: 0.75,
    clock,
    ...options,
  });
  const last = () => {
    const mint = mints.at(-1);
    if (mint === undefined) throw new Error("no mint was asked for");
    return mint;
  };
  return { clock, mints, told, source, queue, last };
}

/** Lets everything that promises have made ready run. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a cold audience", () => {
  it("is minted once for 200 concurrent checks", async () => {
    const { source, mints, last } = setUp();
    const checks = Array.from({ length: 200 }, () => source.token(A));
    await settle();
    const token = await last().succeed();
    expect(new Set(await Promise.all(checks.map(async (check) => check)))).toEqual(
      new Set([token]),
    );
    expect(mints).toHaveLength(1);
    expect(source.token(A)).toBe(token);
  });

  it("fails all that wait alike, then answers from memory until the pause is over", async () => {
    const { source, mints, last, clock } = setUp();
    const first = Promise.allSettled([source.token(B), source.token(B)]);
    await settle();
    await last().fail(rejected);
    expect(await first).toEqual([
      { status: "rejected", reason: rejected },
      { status: "rejected", reason: rejected },
    ]);
    clock.advance(999);
    await expect(source.token(B)).rejects.toBe(rejected);
    expect(mints).toHaveLength(1);
    clock.advance(1);
    void Promise.resolve(source.token(B)).catch(() => {});
    await settle();
    expect(mints).toHaveLength(2);
  });

  it("pauses longer after each refusal, so that a broken credential makes few exchanges", async () => {
    const { source, mints, clock, last } = setUp({ configured: [] });
    for (let ms = 0; ms < 60_000; ms += 100) {
      const answer = Promise.resolve(source.token(B)).catch(() => {});
      await settle();
      if (mints.length > 0) await last().fail(rejected);
      await answer;
      clock.advance(100);
    }
    expect(mints.length).toBeGreaterThanOrEqual(4);
    expect(mints.length).toBeLessThanOrEqual(6);
  });

  it("answers every waiting check within the mint timeout, and aborts the exchange", async () => {
    const { source, clock, last } = setUp();
    const waiting = Promise.resolve(source.token(A));
    await settle();
    clock.advance(4000);
    const late = Promise.resolve(source.token(A));
    const both = Promise.allSettled([waiting, late]);
    clock.advance(1000);
    for (const outcome of await both) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "mint_timeout" } });
    }
    expect(last().signal.aborted).toBe(true);
  });

  it("turns an error that is no MintError into one", async () => {
    const { source, last } = setUp();
    const waiting = source.token(A);
    await settle();
    await last().fail(new TypeError("boom"));
    await expect(waiting).rejects.toMatchObject({ code: "mint_unavailable" });
  });
});

describe("a due token", () => {
  it("is served while one renewal runs in the background, however many callers", async () => {
    const { source, clock, mints, last, told } = setUp();
    source.start();
    await settle();
    const first = await last().succeed();
    clock.advance(HOUR_MS * 0.75);
    await settle();
    for (let i = 0; i < 50; i++) expect(source.token(A)).toBe(first);
    expect(mints).toHaveLength(2);
    const second = await last().succeed();
    expect(source.token(A)).toBe(second);
    expect(told).toEqual(["minted cold", "minted renewal"]);
  });

  it.each([
    [0, 0.675],
    [0.999_999, 0.825],
  ])(
    "is renewed by a timer at refresh-at, give or take 10 %% (random %f)",
    async (random, share) => {
      const { source, clock, last } = setUp();
      clock.setRandom(random);
      source.start();
      await settle();
      await last().succeed();
      expect(clock.armed().at(-1)).toBeCloseTo(HOUR_MS * share, -2);
    },
  );

  it("stays in use while renewals fail, which are retried with growing pauses", async () => {
    const { source, clock, mints, last } = setUp();
    source.start();
    await settle();
    const first = await last().succeed();
    clock.advance(HOUR_MS * 0.75);
    const pauses: number[] = [];
    for (let failures = 0; failures < 8; failures++) {
      await settle();
      await last().fail(unavailable);
      expect(source.token(A)).toBe(first);
      const [pauseMs = Number.NaN] = clock.armed();
      pauses.push(pauseMs);
      clock.advance(pauseMs);
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    await settle();
    expect(mints).toHaveLength(10);
    const renewed = await last().succeed();
    expect(source.token(A)).toBe(renewed);
  });

  it("is renewed soon after its expiry, however long the pauses had become", async () => {
    const { source, clock, last, mints } = setUp();
    source.start();
    await settle();
    await last().succeed();
    // Every renewal fails, until the token ends.
    while (clock.now().monotonicMs < 1000 + HOUR_MS) {
      const [nextMs = 0] = clock.armed();
      clock.advance(nextMs);
      await settle();
      if (clock.now().monotonicMs < 1000 + HOUR_MS) await last().fail(unavailable);
    }
    // The try at its end is under way: none waits for a pause.
    expect(clock.now().monotonicMs).toBe(1000 + HOUR_MS);
    const waiting = source.token(A);
    const token = await last().succeed();
    expect(await waiting).toBe(token);
    expect(mints.length).toBeGreaterThan(10);
  });

  it("is no longer served from the instant of its expiry", async () => {
    const { source, clock, mints, last } = setUp();
    source.start();
    await settle();
    const first = await last().succeed();
    clock.advance(HOUR_MS * 0.75);
    await settle();
    clock.advance(HOUR_MS * 0.25 - 1);
    expect(source.token(A)).toBe(first);
    clock.advance(1);
    expect(source.token(A)).toBeInstanceOf(Promise);
    expect(source.readiness()).toMatchObject([{ audience: A, token: undefined }]);
    expect(mints.length).toBeGreaterThan(1);
    source.close();
  });
});

describe("clocks that lie", () => {
  it.each([
    ["the machine slept for two hours", 2 * HOUR_MS, 0],
    ["the clock was set back two hours, and the life went by", -2 * HOUR_MS, HOUR_MS],
  ])("never bring an expired token back: %s", async (_what, shiftMs, passMs) => {
    const { source, clock, last, mints } = setUp({ configured: [] });
    const waiting = source.token(B);
    await settle();
    const first = await last().succeed();
    await waiting;
    clock.shiftWall(shiftMs);
    clock.advance(passMs);
    const next = source.token(B);
    expect(next).not.toBe(first);
    expect(next).toBeInstanceOf(Promise);
    await settle();
    expect(mints.length).toBeGreaterThan(1);
    source.close();
  });

  it("renew a token that fell due while the machine slept, and serve it meanwhile", async () => {
    const { source, clock, mints, last } = setUp();
    source.start();
    await settle();
    const first = await last().succeed();
    clock.shiftWall(HOUR_MS * 0.8);
    expect(source.token(A)).toBe(first);
    await settle();
    expect(mints).toHaveLength(2);
  });
});

describe("audiences beyond the configured ones", () => {
  it("stop being renewed when unused for a full life", async () => {
    const { source, clock, mints, last } = setUp({ configured: [] });
    void source.token(B);
    await settle();
    await last().succeed();
    clock.advance(HOUR_MS * 0.75);
    await settle();
    expect(mints, "used within its life: renewed").toHaveLength(2);
    await last().succeed();
    clock.advance(HOUR_MS * 0.75);
    await settle();
    expect(mints, "unused for a life: dropped").toHaveLength(2);
    expect(source.size()).toBe(0);
    expect(clock.armed()).toEqual([]);
  });

  it("are bounded; the least recently used goes, a configured one never", async () => {
    const { source, mints, last, clock } = setUp();
    for (const audience of [A, "b", "c", "d", "e"]) {
      void source.token(audience);
      await settle();
      await last().succeed();
    }
    expect(source.size()).toBe(4);
    expect(clock.armed()).toHaveLength(4);
    for (const audience of [A, "c", "d", "e"]) {
      expect(source.token(audience)).not.toBeInstanceOf(Promise);
    }
    expect(source.token("b")).toBeInstanceOf(Promise);
    await settle();
    expect(mints).toHaveLength(6);
  });
});

describe("many cold audiences at once", () => {
  it("fail at once where there is no more room to wait, but for the default audience", async () => {
    const { source, mints, told, last } = setUp({ maxAudiences: 2000 });
    const all = Array.from({ length: 1500 }, (_, index) =>
      Promise.resolve(source.token(`https://${index}.run.app`)).catch((error: unknown) => error),
    );
    await settle();
    const failed = await Promise.all(all.slice(1008));
    expect(failed).toEqual(
      Array<unknown>(492).fill(expect.objectContaining({ code: "mint_unavailable" })),
    );
    expect(told).toEqual([]);
    const first = source.token(A);
    await settle();
    await mints[0]?.succeed();
    expect(last().audience).toBe(A);
    const token = await last().succeed();
    expect(await first).toBe(token);
  });

  it("make 8 exchanges at a time, the default audience's before those that wait", async () => {
    const { source, mints } = setUp({ maxAudiences: 1000 });
    const waiting = Array.from({ length: 20 }, (_, i) => source.token(`other-${i}`));
    waiting.push(source.token(A));
    await settle();
    expect(mints).toHaveLength(8);
    await mints[0]?.succeed();
    expect(mints).toHaveLength(9);
    expect(mints[8]?.audience).toBe(A);
    for (const mint of mints) await mint.succeed();
    await Promise.all(waiting.map(async (check) => check));
    expect(mints).toHaveLength(21);
  });

  it("fail in time even while they wait for their turn", async () => {
    const { source, mints, clock } = setUp({ maxAudiences: 1000 });
    const waiting = Array.from({ length: 20 }, (_, i) => source.token(`other-${i}`));
    await settle();
    clock.advance(5000);
    const outcomes = await Promise.allSettled(waiting.map(async (check) => check));
    expect(outcomes.filter(({ status }) => status === "rejected")).toHaveLength(20);
    expect(mints).toHaveLength(8);
  });
});

describe("a refused credential", () => {
  const refused = new MintError("mint_rejected", "invalid_grant", { ofCredential: true });
  const audiences = Array.from({ length: 100 }, (_, index) => `https://${index}.run.app`);

  /** Checks for every audience, and refuses each exchange that is made for one. */
  async function checkAll({ source, mints }: ReturnType<typeof setUp>): Promise<number> {
    const before = mints.length;
    const checks = audiences.map((audience) => Promise.resolve(source.token(audience)));
    const settled = Promise.allSettled(checks);
    await settle();
    for (let index = before; index < mints.length; index++) await mints[index]?.fail(refused);
    expect((await settled).every(({ status }) => status === "rejected")).toBe(true);
    return mints.length - before;
  }

  it("makes few exchanges, however many audiences, and one at a time later", async () => {
    const world = setUp({ configured: [], maxAudiences: 1000 });
    expect(await checkAll(world)).toBe(8);
    expect(world.told).toHaveLength(8);
    expect(await checkAll(world)).toBe(0);
    world.clock.advance(60_000);
    expect(await checkAll(world)).toBe(1);
    expect(world.told).toHaveLength(9);
  });

  it("is tried again as soon as the refusal no longer holds", async () => {
    const { source, clock, last, mints } = setUp();
    source.start();
    await settle();
    const gaps: number[] = [];
    for (let tries = 0; tries < 8; tries++) {
      await last().fail(refused);
      const [before, made] = [clock.now().monotonicMs, mints.length];
      while (mints.length === made) {
        // Jitter lets a timer end before the refusal does.
        clock.setRandom(mints.length % 2 === 0 ? 0 : 0.999);
        clock.advance(clock.armed()[0] ?? 0);
        await settle();
      }
      gaps.push(clock.now().monotonicMs - before);
    }
    expect(Math.max(...gaps)).toBeLessThanOrEqual(33_000);
  });

  it("is used for all again after one exchange that works", async () => {
    const { source, clock, last, mints } = setUp({ configured: [], maxAudiences: 1000 });
    const first = Promise.resolve(source.token(A)).catch((error: unknown) => error);
    await settle();
    await last().fail(refused);
    expect(await first).toBe(refused);
    clock.advance(60_000);
    const second = source.token(A);
    await settle();
    const token = await last().succeed();
    expect(await second).toBe(token);
    void Promise.resolve(source.token(B)).catch(() => {});
    await settle();
    expect(mints).toHaveLength(3);
  });

  it("leaves other audiences alone where only what was asked for is refused", async () => {
    const { source, last, mints } = setUp({ configured: [] });
    const first = Promise.resolve(source.token(A)).catch((error: unknown) => error);
    await settle();
    await last().fail(rejected);
    expect(await first).toBe(rejected);
    void Promise.resolve(source.token(B)).catch(() => {});
    await settle();
    expect(mints).toHaveLength(2);
  });
});

describe("readiness", () => {
  it("names the last failure of each configured audience until it has a token", async () => {
    const { source, last, clock } = setUp();
    expect(source.readiness()).toEqual([{ audience: A, token: undefined, error: undefined }]);
    source.start();
    await settle();
    await last().fail(unavailable);
    expect(source.readiness()).toEqual([{ audience: A, token: undefined, error: unavailable }]);
    clock.advance(1000);
    await settle();
    const token = await last().succeed();
    expect(source.readiness()).toEqual([{ audience: A, token, error: undefined }]);
  });
});

describe("another key of the same account", () => {
  it("leaves the cached tokens, and serves the next mints", async () => {
    const { source, clock, last, mints } = setUp();
    source.start();
    await settle();
    const first = await last().succeed();
    const renewed = idToken(A, clock.now());
    source.useKey(async () => renewed);
    expect(source.token(A)).toBe(first);
    clock.advance(HOUR_MS * 0.75);
    await settle();
    expect(source.token(A)).toBe(renewed);
    expect(mints).toHaveLength(1);
  });

  it("is tried at once where the old one had failed", async () => {
    const { source, clock, last } = setUp();
    source.start();
    await settle();
    await last().fail(rejected);
    const token = idToken(A, clock.now());
    source.useKey(async () => token);
    clock.advance(0);
    await settle();
    expect(source.token(A)).toBe(token);
  });
});

describe("another account", () => {
  const of = (account: string, audience: string, at: { wallMs: number; monotonicMs: number }) => ({
    ...idToken(audience, at),
    header: `Bearer ${account}`,
  });

  it("replaces every cached token in one turn, and no check waits for it", async () => {
    const { source, clock, mints } = setUp({ configured: [A, B] });
    source.start();
    void source.token("c");
    await settle();
    for (const mint of mints) await mint.succeed();
    const old = await source.token(A);
    const seen: string[] = [];
    const gate = Promise.withResolvers<void>();
    const change = source.useAccount(
      async (audience) => {
        seen.push(audience);
        await gate.promise;
        return of("new", audience, clock.now());
      },
      of("new", A, clock.now()),
    );
    await settle();
    expect(seen).toEqual([B, "c"]);
    expect(source.token(A)).toBe(old);
    gate.resolve();
    await change;
    for (const audience of [A, B, "c"]) {
      expect(await source.token(audience)).toMatchObject({ header: "Bearer new" });
    }
  });

  it("answers checks that wait on a mint of the old account with a token of the new", async () => {
    const { source, clock, last, mints } = setUp();
    const waiting = source.token(A);
    const other = source.token(B);
    await settle();
    const [first, second] = mints;
    await source.useAccount(
      async (audience) => of("new", audience, clock.now()),
      of("new", A, clock.now()),
    );
    await first?.succeed();
    await second?.fail(rejected);
    expect(await waiting).toMatchObject({ header: "Bearer new" });
    expect(await other).toMatchObject({ header: "Bearer new" });
    expect(last()).toBe(second);
  });

  it("hands whoever waits over to the new account at once", async () => {
    const { source, clock, mints } = setUp({ configured: [] });
    const waiting = source.token(B);
    await settle();
    const next = () => Promise.resolve(idToken(B, clock.now()));
    await source.useAccount(next, idToken("proof", clock.now()));
    expect(await waiting).toMatchObject({ audience: B });
    expect(mints).toHaveLength(1);
  });

  it("keeps the order in which audiences were used", async () => {
    const { source, clock, last } = setUp({ configured: [], maxAudiences: 2 });
    for (const audience of ["old", "recent"]) {
      void source.token(audience);
      await settle();
      await last().succeed();
    }
    const minted: string[] = [];
    const next = async (audience: string) => {
      minted.push(audience);
      return idToken(audience, clock.now());
    };
    await source.useAccount(next, idToken("proof", clock.now()));
    await source.token("newer");
    expect(source.token("recent")).not.toBeInstanceOf(Promise);
    expect(minted.sort()).toEqual(["newer", "old", "recent"]);
  });

  it("leaves an audience cold that it cannot mint for, and goes on trying", async () => {
    const { source, clock } = setUp({ configured: [A, B] });
    let broken = true;
    await source.useAccount(
      async (audience) => {
        if (broken) throw unavailable;
        return of("new", audience, clock.now());
      },
      of("new", A, clock.now()),
    );
    await settle();
    expect(source.readiness()).toMatchObject([
      { audience: A, token: { header: "Bearer new" } },
      { audience: B, token: undefined, error: unavailable },
    ]);
    broken = false;
    clock.advance(1000);
    await settle();
    expect(await source.token(B)).toMatchObject({ header: "Bearer new" });
  });
});

describe("close", () => {
  it("ends every exchange and leaves no timer armed", async () => {
    const { source, queue, mints, clock } = setUp({ configured: [A, B] });
    source.start();
    await settle();
    await mints[1]?.succeed();
    source.close();
    queue.close();
    await settle();
    expect(mints.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    expect(clock.armed()).toEqual([]);
  });
});
