import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { BackoffRunning } from "../../../src/tokens/not-attempted.ts";
import { createRefusals } from "../../../src/tokens/refusals.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const refused = new MintError("mint_rejected", "invalid_grant", { ofCredential: true });
const tooMany = new MintError("mint_unavailable", "429", { retryAfterMs: 13_000 });

function setUp() {
  const clock = createFakeClock();
  const refusals = createRefusals<object>(clock);
  const credential = {};
  /** Milliseconds left of the backoff; undefined if the caller may send a request. */
  const leftMs = (): number | undefined => {
    try {
      refusals.check(credential);
      return undefined;
    } catch (error) {
      if (error instanceof BackoffRunning) return error.retryInMs;
      throw error;
    }
  };
  return { clock, refusals, credential, leftMs };
}

describe("a refused credential", () => {
  it("is not tried until its pause is over", () => {
    const { clock, refusals, credential, leftMs } = setUp();
    expect(leftMs()).toBeUndefined();
    refusals.remember(credential, refused);
    expect(leftMs()).toBe(1000);
    clock.advance(999);
    expect(leftMs()).toBe(1);
    clock.advance(1);
    expect(leftMs()).toBeUndefined();
  });

  it("is tried by one caller after its pause; the others wait for one more pause", () => {
    const { clock, refusals, credential, leftMs } = setUp();
    refusals.remember(credential, refused);
    clock.advance(1000);
    expect(leftMs()).toBeUndefined();
    expect(leftMs()).toBe(1000);
  });

  it("has a longer pause after each failed retry", () => {
    const { clock, refusals, credential, leftMs } = setUp();
    const pauses: unknown[] = [];
    for (let failures = 0; failures < 7; failures++) {
      refusals.remember(credential, refused);
      const pauseMs = leftMs() ?? 0;
      pauses.push(pauseMs);
      clock.advance(pauseMs);
      expect(leftMs()).toBeUndefined();
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });

  it("counts refusals of requests that were sent together as one", () => {
    const { refusals, credential, leftMs } = setUp();
    for (let answers = 0; answers < 8; answers++) refusals.remember(credential, refused);
    expect(leftMs()).toBe(1000);
  });

  it("leaves other credentials alone", () => {
    const { refusals, credential } = setUp();
    refusals.remember(credential, refused);
    expect(() => refusals.check({})).not.toThrow();
  });

  it("is forgotten after a successful retry", () => {
    const { clock, refusals, credential, leftMs } = setUp();
    refusals.remember(credential, refused);
    clock.advance(1000);
    expect(leftMs()).toBeUndefined();
    refusals.forget(credential);
    expect(leftMs()).toBeUndefined();
    refusals.remember(credential, refused);
    expect(leftMs(), "counted from the start").toBe(1000);
  });

  it("stays refused if a request that was sent before succeeds", () => {
    const { refusals, credential, leftMs } = setUp();
    refusals.remember(credential, tooMany);
    refusals.forget(credential);
    expect(leftMs()).toBe(13_000);
  });
});

describe("remember", () => {
  it("honours Retry-After, whose refusal is of the endpoint", () => {
    const { refusals, credential, leftMs } = setUp();
    refusals.remember(credential, tooMany);
    expect(leftMs()).toBe(13_000);
  });

  it("ignores failures that say nothing about the credential", () => {
    const { refusals, credential, leftMs } = setUp();
    refusals.remember(credential, new MintError("mint_unavailable", "503"));
    refusals.remember(credential, new MintError("mint_rejected", "invalid_target"));
    expect(leftMs()).toBeUndefined();
  });
});
