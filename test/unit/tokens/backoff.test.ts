import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { createBackoff, jitter, retryPauseMs } from "../../../src/tokens/backoff.ts";
import { MintQueueFull } from "../../../src/tokens/not-attempted.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const transient = new MintError("mint_unavailable", "503");
const refused = new MintError("mint_rejected", "invalid_grant");
const HOUR_MS = 3600_000;
const pauses = (error: MintError, servedMs: number, random = 0.5) =>
  [1, 2, 3, 4, 5, 6, 7, 8, 100].map((failures) => retryPauseMs(error, failures, servedMs, random));

describe("retryPauseMs", () => {
  it("grows to a minute while an unexpired token is served", () => {
    expect(pauses(transient, HOUR_MS)).toEqual([
      1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000,
    ]);
    expect(pauses(refused, HOUR_MS)).toEqual(pauses(transient, HOUR_MS));
  });

  it("grows to half a minute for a refused credential, and to 5 s for a passing failure", () => {
    expect(pauses(refused, 0).at(-1)).toBe(30_000);
    expect(pauses(transient, 0).at(-1)).toBe(5000);
  });

  it("ends with the token that is served meanwhile", () => {
    expect(pauses(transient, 20_000).slice(-4)).toEqual([20_000, 20_000, 20_000, 20_000]);
    expect(pauses(transient, 100).slice(-4)).toEqual([5000, 5000, 5000, 5000]);
    expect(pauses(refused, 100).at(-1)).toBe(30_000);
  });

  it("honours Retry-After, up to five minutes", () => {
    const pauseMs = (retryAfterMs: number) =>
      retryPauseMs(new MintError("mint_unavailable", "429", { retryAfterMs }), 1, 0, 0.5);
    expect(pauseMs(500)).toBe(1000);
    expect(pauseMs(20_000)).toBe(20_000);
    expect(pauseMs(86_400_000)).toBe(300_000);
  });
});

describe("jitter", () => {
  it("is within 10 % of 1", () => {
    expect(jitter(0)).toBeCloseTo(0.9);
    expect(jitter(0.5)).toBe(1);
    expect(jitter(0.999_999)).toBeCloseTo(1.1);
    expect(retryPauseMs(transient, 1, 0, 0)).toBeCloseTo(900);
  });
});

describe("createBackoff", () => {
  function setUp() {
    const clock = createFakeClock();
    return { clock, backoff: createBackoff(clock) };
  }

  it("allows an attempt immediately before any failure", () => {
    const { backoff } = setUp();
    expect(backoff.leftMs()).toBe(0);
    expect(backoff.error()).toBeUndefined();
  });

  it("pauses after a failure, longer after each in a row", () => {
    const { clock, backoff } = setUp();
    expect(backoff.fail(transient, 0)).toBe(1000);
    clock.advance(400);
    expect(backoff.leftMs()).toBe(600);
    clock.advance(600);
    expect(backoff.leftMs()).toBe(0);
    expect(backoff.error(), "still the last failure").toBe(transient);
    expect(backoff.fail(refused, 0)).toBe(2000);
    expect(backoff.error()).toBe(refused);
  });

  it("does not count what was not attempted, whose own pause it takes", () => {
    const { backoff } = setUp();
    backoff.fail(transient, 0);
    const full = new MintQueueFull("");
    for (let failures = 0; failures < 5; failures++) expect(backoff.fail(full, 0)).toBe(1000);
    expect(backoff.error()).toBe(full);
    expect(backoff.fail(transient, 0)).toBe(2000);
  });

  it("starts the same pause again on restart", () => {
    const { clock, backoff } = setUp();
    backoff.fail(transient, 0);
    clock.advance(1000);
    backoff.restart();
    expect(backoff.leftMs()).toBe(1000);
  });

  it("starts from the first pause after a reset", () => {
    const { backoff } = setUp();
    backoff.fail(transient, 0);
    backoff.fail(transient, 0);
    backoff.reset();
    expect(backoff.leftMs()).toBe(0);
    expect(backoff.error()).toBeUndefined();
    expect(backoff.fail(transient, 0)).toBe(1000);
  });
});
