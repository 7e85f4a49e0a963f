import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { BackoffRunning } from "../../../src/tokens/not-attempted.ts";
import { createVerifier, type VerifierOptions } from "../../../src/tokens/rotation.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { idToken } from "../../support/tokens.ts";

const HOUR_MS = 3600_000;
const tooMany = new MintError("mint_unavailable", "429", { retryAfterMs: 13_000 });
const never = new AbortController().signal;

/** A verifier whose mints succeed, after some time if wanted, unless the audience has a failure. */
function setUp(options: Partial<VerifierOptions> = {}) {
  const clock = createFakeClock();
  const failures = new Map<string, MintError>();
  const asked: string[] = [];
  let takesMs = 0;
  let running = 0;
  let mostRunning = 0;
  const verifier = createVerifier({
    mint: () => Promise.reject(new Error("the queue calls it")),
    queue: {
      run: async (_mint, audience, reason) => {
        asked.push(`${audience} ${reason}`);
        running += 1;
        mostRunning = Math.max(mostRunning, running);
        await Promise.resolve();
        running -= 1;
        clock.advance(takesMs);
        const failure = failures.get(audience);
        if (failure !== undefined) throw failure;
        return idToken(audience, clock.now());
      },
    },
    required: ["a", "b"],
    wanted: () => [],
    refreshAt: 0.75,
    clock,
    ...options,
  });
  const takeMs = (ms: number) => {
    takesMs = ms;
  };
  return { clock, failures, asked, takeMs, mostRunning: () => mostRunning, ...verifier };
}

describe("verify", () => {
  it("mints a token for every required audience", async () => {
    const { verify, tokens, asked } = setUp();
    await verify(never);
    expect([...tokens.keys()]).toEqual(["a", "b"]);
    expect(asked).toEqual(["a swap", "b swap"]);
  });

  it("rejects if one is missing, and then mints only that one", async () => {
    const { verify, tokens, asked, failures } = setUp();
    failures.set("b", tooMany);
    await expect(verify(never)).rejects.toBe(tooMany);
    expect([...tokens.keys()]).toEqual(["a"]);
    failures.clear();
    await verify(never);
    expect(asked).toEqual(["a swap", "b swap", "b swap"]);
    expect([...tokens.keys()]).toEqual(["a", "b"]);
  });

  it("rejects with a failure of this attempt, and not with a backoff that is running", async () => {
    const { verify, failures } = setUp({ required: ["a", "b", "c"] });
    failures.set("a", new BackoffRunning(tooMany, 500));
    failures.set("b", tooMany);
    await expect(verify(never)).rejects.toBe(tooMany);
  });

  it("mints again what has come due while another audience was missing", async () => {
    const { verify, asked, failures, clock } = setUp();
    failures.set("b", tooMany);
    await expect(verify(never)).rejects.toBe(tooMany);
    clock.advance(HOUR_MS * 0.75);
    failures.clear();
    await verify(never);
    expect(asked.slice(2)).toEqual(["a swap", "b swap"]);
  });

  it("mints 4 tokens at a time", async () => {
    const required = Array.from({ length: 10 }, (_, index) => `${index}`);
    const { verify, mostRunning } = setUp({ required });
    await verify(never);
    expect(mostRunning()).toBe(4);
  });

  it("starts no further mint once the signal is aborted", async () => {
    const { verify, asked } = setUp({ wanted: () => ["other"] });
    await verify(AbortSignal.abort());
    expect(asked).toEqual([]);
  });
});

describe("tokens that are only wanted", () => {
  const wanted = () => ["c", "d"];

  it("are minted after the required ones", async () => {
    const { verify, asked } = setUp({ wanted });
    await verify(never);
    expect(asked).toEqual(["a swap", "b swap", "c swap", "d swap"]);
  });

  it("are not minted while a required one is missing", async () => {
    const { verify, asked, failures } = setUp({ wanted });
    failures.set("a", tooMany);
    await expect(verify(never)).rejects.toBe(tooMany);
    expect(asked).toEqual(["a swap", "b swap"]);
  });

  it("may fail, and are not tried twice", async () => {
    const { verify, tokens, asked, failures } = setUp({ wanted });
    failures.set("c", tooMany);
    await verify(never);
    await verify(never);
    expect([...tokens.keys()]).toEqual(["a", "b", "d"]);
    expect(asked).toHaveLength(4);
  });

  it("delay the rotation by half a minute at most", async () => {
    const many = Array.from({ length: 100 }, (_, index) => `other-${index}`);
    const { verify, tokens, takeMs } = setUp({ required: ["a"], wanted: () => many });
    takeMs(5000);
    await verify(never);
    expect(tokens.size).toBeGreaterThanOrEqual(7);
    expect(tokens.size).toBeLessThan(12);
  });
});
