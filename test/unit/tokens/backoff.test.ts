import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { retryPauseMs } from "../../../src/tokens/backoff.ts";

const passing = new MintError("mint_unavailable", "503");
const permanent = new MintError("mint_rejected", "invalid_grant");
const HOUR_MS = 3600_000;
const pauses = (error: MintError, leftMs: number, random = 0.5) =>
  [1, 2, 3, 4, 5, 6, 7, 8, 100].map((failures) => retryPauseMs(error, failures, leftMs, random));

describe("retryPauseMs", () => {
  it("grows to a minute while an unexpired token is served", () => {
    expect(pauses(passing, HOUR_MS)).toEqual([
      1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000,
    ]);
    expect(pauses(permanent, HOUR_MS)).toEqual(pauses(passing, HOUR_MS));
  });

  it("grows to half a minute for a refused credential, and stays short for what may pass", () => {
    expect(pauses(permanent, 0).at(-1)).toBe(30_000);
    expect(pauses(passing, 0).at(-1)).toBe(5000);
  });

  it("does not outlast the token that it is long because of", () => {
    expect(pauses(passing, 20_000).slice(-4)).toEqual([20_000, 20_000, 20_000, 20_000]);
    expect(pauses(passing, 100).slice(-4)).toEqual([5000, 5000, 5000, 5000]);
    expect(pauses(permanent, 100).at(-1)).toBe(30_000);
  });

  it("is jittered by 10 %", () => {
    expect(retryPauseMs(passing, 1, 0, 0)).toBeCloseTo(900);
    expect(retryPauseMs(passing, 1, 0, 0.999_999)).toBeCloseTo(1100);
  });

  it("honours Retry-After, up to five minutes", () => {
    const asked = (retryAfterMs: number) =>
      retryPauseMs(new MintError("mint_unavailable", "429", { retryAfterMs }), 1, 0, 0.5);
    expect(asked(500)).toBe(1000);
    expect(asked(20_000)).toBe(20_000);
    expect(asked(86_400_000)).toBe(300_000);
  });
});
