import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import type { IdToken } from "../../../src/tokens/id-token.ts";
import {
  createMintQueue,
  type Mint,
  type MintQueueOptions,
  type MintReason,
} from "../../../src/tokens/mint-queue.ts";
import { MintQueueFull } from "../../../src/tokens/not-attempted.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { idToken } from "../../support/tokens.ts";

const A = "https://a.run.app";
const B = "https://b.run.app";

/** A queue whose mints the test settles one by one. */
function setUp(options: Partial<MintQueueOptions> = {}) {
  const clock = createFakeClock();
  const events: string[] = [];
  const skews: number[] = [];
  const mints: {
    readonly audience: string;
    readonly signal: AbortSignal;
    readonly succeed: () => Promise<IdToken>;
    readonly fail: (error: unknown) => Promise<void>;
  }[] = [];
  const mint: Mint = (audience, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<IdToken>();
    const token = { ...idToken(audience, clock.now()), skewMs: 42 };
    mints.push({
      audience,
      signal,
      succeed: async () => {
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
  };
  const queue = createMintQueue({
    configured: new Set([A, B]),
    mintTimeoutMs: 5000,
    maxWaiting: 1000,
    clock,
    events: {
      minted: ({ token, reason, durationMs }) =>
        events.push(`minted ${token.audience} ${reason} ${durationMs}`),
      mintFailed: ({ audience, reason, error, durationMs }) =>
        events.push(`${error.code} ${audience} ${reason} ${durationMs}`),
      clockCompared: (skewMs) => skews.push(skewMs),
    },
    ...options,
  });

  /** Asks for a token and returns its outcome. */
  function run(audience: string, reason: MintReason = "cold", caller = ""): Promise<unknown> {
    return queue.run(mint, audience, reason, caller).catch((error: unknown) => error);
  }

  const flood = (count: number, caller = "") =>
    Array.from({ length: count }, (_, index) => {
      return run(`https://other-${index}.run.app`, "cold", caller);
    });
  const audiences = () => mints.map(({ audience }) => audience);
  return { clock, events, skews, mints, queue, mint, run, flood, audiences };
}

/** Lets everything run that promises have made ready. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a mint", () => {
  it("returns the token and reports it with its reason, duration and clock skew", async () => {
    const { run, mints, clock, events, skews } = setUp();
    const token = run(A, "renewal");
    await settle();
    clock.advance(120);
    const minted = await mints[0]?.succeed();
    expect(await token).toBe(minted);
    expect(events).toEqual([`minted ${A} renewal 120`]);
    expect(skews).toEqual([42]);
  });

  it("reports a failure once, with the clock skew if the issuer sent its time", async () => {
    const { run, mints, clock, events, skews } = setUp();
    const outcome = run(A);
    await settle();
    const issuerNowMs = clock.now().wallMs - 7000;
    const error = new MintError("mint_rejected", "invalid_grant", { issuerNowMs });
    await mints[0]?.fail(error);
    expect(await outcome).toBe(error);
    expect(events).toEqual([`mint_rejected ${A} cold 0`]);
    expect(skews).toEqual([7000]);
  });

  it("turns an unexpected error into a MintError that keeps it as its cause", async () => {
    const { run, mints } = setUp();
    const outcome = run(A);
    await settle();
    const cause = new TypeError("boom");
    await mints[0]?.fail(cause);
    expect(await outcome).toMatchObject({ name: "MintError", code: "mint_unavailable", cause });
  });

  it("is aborted and rejected at its timeout", async () => {
    const { run, mints, clock, events } = setUp();
    const outcome = run(A);
    await settle();
    clock.advance(4999);
    expect(mints[0]?.signal.aborted).toBe(false);
    clock.advance(1);
    expect(await outcome).toMatchObject({ code: "mint_timeout" });
    expect(mints[0]?.signal.aborted).toBe(true);
    expect(events).toEqual([`mint_timeout ${A} cold 5000`]);
    expect(clock.armed()).toEqual([]);
  });

  it("is rejected at its timeout even if it is still waiting for its turn", async () => {
    const { flood, mints, clock } = setUp();
    const outcomes = flood(20);
    await settle();
    clock.advance(5000);
    const timeout = expect.objectContaining({ code: "mint_timeout" });
    expect(await Promise.all(outcomes)).toEqual(Array<unknown>(20).fill(timeout));
    expect(mints).toHaveLength(6);
  });
});

describe("a mint that has waited nearly as long as its timeout", () => {
  it("is not started, since there is no time left for an answer", async () => {
    const { flood, mints, clock, events } = setUp();
    const outcomes = flood(8);
    await settle();
    clock.advance(4700);
    await mints[0]?.succeed();
    expect(mints).toHaveLength(7);
    clock.advance(100);
    await mints[1]?.succeed();
    expect(await outcomes[7]).toMatchObject({ code: "mint_timeout" });
    expect(mints).toHaveLength(7);
    expect(events.at(-1)).toBe("mint_timeout https://other-7.run.app cold 4800");
  });
});

describe("many mints", () => {
  it("run 6 at a time for other audiences, which leaves 2 slots to configured ones", async () => {
    const { flood, run, mints, audiences } = setUp();
    void flood(20);
    await settle();
    expect(mints).toHaveLength(6);
    void run(A);
    void run(B, "renewal");
    await settle();
    expect(audiences().slice(6)).toEqual([A, B]);
    await mints[0]?.succeed();
    expect(mints).toHaveLength(9);
  });

  it("run 8 at a time for configured audiences", async () => {
    const many = Array.from({ length: 20 }, (_, index) => `https://configured-${index}.run.app`);
    const { run, mints } = setUp({ configured: new Set(many) });
    for (const audience of many) void run(audience);
    await settle();
    expect(mints).toHaveLength(8);
  });

  it("run in the order of need: configured, waited for, verification of a new credential", async () => {
    const many = Array.from({ length: 10 }, (_, index) => `https://configured-${index}.run.app`);
    const { run, mints, audiences, flood } = setUp({ configured: new Set(many) });
    void flood(6);
    for (const audience of many.slice(0, 2)) void run(audience);
    void run("https://swapped.run.app", "swap");
    void run(many[2] ?? "", "swap");
    void run("https://cold.run.app");
    void run(many[3] ?? "");
    await settle();
    expect(mints).toHaveLength(8);
    for (const each of mints.slice(0, 6)) await each.succeed();
    const order = audiences().slice(8);
    expect(order).toEqual([many[3], many[2], "https://cold.run.app", "https://swapped.run.app"]);
  });

  it("fail immediately and unreported if too many wait, except for configured audiences", async () => {
    const { flood, run, events, mints } = setUp({ maxWaiting: 10 });
    const outcomes = flood(20);
    await settle();
    const rejected = await Promise.all(outcomes.slice(16));
    expect(rejected).toEqual(Array<unknown>(4).fill(expect.any(MintQueueFull)));
    expect(events).toEqual([]);
    const configured = run(B);
    await settle();
    const token = await mints.at(-1)?.succeed();
    expect(await configured).toBe(token);
  });
});

describe("a caller's flood", () => {
  it("takes 2 slots, so that other callers and configured audiences are minted for", async () => {
    const { flood, run, mints, audiences } = setUp();
    void flood(100, "flood");
    await settle();
    expect(mints).toHaveLength(2);
    void run("https://web.run.app", "cold", "web");
    void run(A);
    await settle();
    expect(audiences().slice(2)).toEqual(["https://web.run.app", A]);
  });

  it("fills only its own part of the queue", async () => {
    const { flood, run, mints } = setUp({ maxWaiting: 10 });
    const outcomes = flood(20, "flood");
    await settle();
    const full = await Promise.all(outcomes.slice(12));
    expect(full).toEqual(Array<unknown>(8).fill(expect.any(MintQueueFull)));
    const other = run("https://web.run.app", "cold", "web");
    await settle();
    const token = await mints.at(-1)?.succeed();
    expect(await other).toBe(token);
  });

  it("does not end in a single turn of the event loop", async () => {
    const { flood, clock, events } = setUp();
    const outcomes = flood(100, "flood");
    await settle();
    clock.advance(5000);
    await settle();
    expect(events.length).toBeLessThan(100);
    await Promise.all(outcomes);
    expect(events).toHaveLength(100);
  });

  it("has at most 200 mints that wait", async () => {
    const { flood } = setUp();
    const outcomes = flood(210, "flood");
    const full = await Promise.all(outcomes.slice(202));
    expect(full).toEqual(Array<unknown>(8).fill(expect.objectContaining({ caller: "flood" })));
  });

  it("delays no mint that another caller waits for, too", async () => {
    const { flood, mints, audiences, queue, mint } = setUp();
    void flood(100, "flood");
    await settle();
    queue.join(mint, "https://other-99.run.app", "web");
    queue.join(mint, "https://other-99.run.app", "web");
    await settle();
    expect(audiences().slice(2)).toEqual(["https://other-99.run.app"]);
    await mints[2]?.succeed();
    queue.join(mint, "https://other-99.run.app", "web");
    await settle();
    expect(mints).toHaveLength(3);
  });

  it("goes on as its own mints end", async () => {
    const { flood, mints } = setUp();
    const outcomes = flood(5, "flood");
    await settle();
    for (let index = 0; index < 5; index++) await mints[index]?.succeed();
    expect(await Promise.all(outcomes)).toHaveLength(5);
    expect(mints).toHaveLength(5);
  });
});

describe("a refused credential", () => {
  const refused = new MintError("mint_rejected", "invalid_grant", { ofCredential: true });

  it("makes few exchanges, however many audiences ask, and one retry after the pause", async () => {
    const { flood, mints, clock, events } = setUp();

    async function askForAll(): Promise<number> {
      const before = mints.length;
      const outcomes = flood(100);
      await settle();
      for (let index = before; index < mints.length; index++) await mints[index]?.fail(refused);
      expect(await Promise.all(outcomes)).toEqual(
        Array<unknown>(100).fill(expect.objectContaining({ code: "mint_rejected" })),
      );
      return mints.length - before;
    }

    expect(await askForAll()).toBe(6);
    expect(events).toHaveLength(6);
    expect(await askForAll()).toBe(0);
    clock.advance(60_000);
    expect(await askForAll()).toBe(1);
    expect(events, "a running backoff is not reported").toHaveLength(7);
  });

  it("is used for every audience again after one exchange that works", async () => {
    const { run, mints, clock } = setUp();
    void run(A);
    await settle();
    await mints[0]?.fail(refused);
    clock.advance(60_000);
    void run(A);
    await settle();
    await mints[1]?.succeed();
    void run(B);
    await settle();
    expect(mints).toHaveLength(3);
  });

  it("still mints for other audiences if only the request was refused", async () => {
    const { run, mints } = setUp();
    void run(A);
    await settle();
    await mints[0]?.fail(new MintError("mint_rejected", "invalid_target"));
    void run(B);
    await settle();
    expect(mints).toHaveLength(2);
  });
});

describe("close", () => {
  it("aborts every mint, running or waiting, and reports nothing", async () => {
    const { flood, queue, mints, events, clock } = setUp();
    const outcomes = flood(10);
    await settle();
    queue.close();
    const closed = expect.objectContaining({ code: "mint_unavailable" });
    expect(await Promise.all(outcomes)).toEqual(Array<unknown>(10).fill(closed));
    expect(mints.every(({ signal }) => signal.aborted)).toBe(true);
    expect(events).toEqual([]);
    expect(clock.armed()).toEqual([]);
  });
});
