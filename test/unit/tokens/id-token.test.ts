import { describe, expect, it } from "vitest";
import {
  freshness,
  InvalidIdToken,
  latestPushShare,
  parseIdToken,
} from "../../../src/tokens/id-token.ts";
import { compactToken } from "../../support/tokens.ts";

const HOUR_MS = 3600_000;
const obtainedAt = { wallMs: 1_800_000_000_000, monotonicMs: 5000 };
const aud = "https://svc.run.app";
const exp = 1_800_003_600;
const parse = (raw: unknown, issuerNowMs = obtainedAt.wallMs) =>
  parseIdToken(raw, aud, obtainedAt, issuerNowMs);

describe("parseIdToken", () => {
  it("takes a token for the asked audience and counts its life by the issuer's clock", () => {
    const raw = compactToken({ aud, exp });
    expect(parse(raw)).toEqual({
      audience: aud,
      header: `Bearer ${raw}`,
      expiresAtSeconds: exp,
      obtainedAt,
      lifeMs: HOUR_MS - 1000,
      skewMs: 0,
    });
    const twoHoursAhead = obtainedAt.wallMs + 2 * HOUR_MS;
    expect(parse(compactToken({ aud, exp: exp + 7200 }), twoHoursAhead).lifeMs).toBe(
      HOUR_MS - 1000,
    );
  });

  it("counts no more than exp - iat, even if the issuer's Date is hours behind", () => {
    const raw = compactToken({ aud, iat: exp - 3600, exp });
    const { lifeMs, skewMs } = parse(raw, obtainedAt.wallMs - 12 * HOUR_MS);
    expect({ lifeMs, skewMs }).toEqual({ lifeMs: HOUR_MS - 1000, skewMs: 0 });
  });

  it("counts what is left of a token that was issued earlier", () => {
    const raw = compactToken({ aud, iat: exp - 7200, exp });
    expect(parse(raw).lifeMs).toBe(HOUR_MS - 1000);
  });

  const good = compactToken({ aud, exp });
  it.each([
    ["missing", undefined],
    ["a number", 42],
    ["empty", ""],
    ["two parts", "e30.e30"],
    ["four parts", `${good}.e30`],
    ["an empty signature", good.replace(/[^.]*$/, "")],
    ["a line break at its end", `${good}\n`],
    ["a header smuggled in", `${good}\r\nx: y`],
    ["base64 padding", good.replace(/.$/, "=")],
    ["claims that are no JSON", "e30.bm8.e30"],
    ["claims that are no object", `e30.${Buffer.from("null").toString("base64url")}.e30`],
    ["another audience", compactToken({ aud: `${aud}/`, exp })],
    ["a list of audiences", compactToken({ aud: [aud], exp })],
    ["no audience", compactToken({ exp })],
    ["no expiry", compactToken({ aud })],
    ["an expiry in words", compactToken({ aud, exp: "1800003600" })],
    ["an issue date in words", compactToken({ aud, exp, iat: "1800000000" })],
    ["an issue date after its expiry", compactToken({ aud, exp, iat: exp + 1 })],
    ["an expiry of now", compactToken({ aud, exp: 1_800_000_000 })],
    ["an expiry in the past", compactToken({ aud, exp: 1_799_999_000 })],
  ])("refuses an id_token that is or has %s", (_what, raw) => {
    expect(() => parse(raw)).toThrow(InvalidIdToken);
  });

  it("tells nothing of the token in its refusal", () => {
    const secret = compactToken({ aud: "other", exp });
    expect(() => parse(secret)).toThrow(/^its id_token is for another audience$/);
  });

  it("does not believe in tokens of more than a day", () => {
    expect(parse(compactToken({ aud, exp: exp + 1e9 })).lifeMs).toBe(24 * HOUR_MS);
  });
});

describe("freshness", () => {
  const token = { obtainedAt, lifeMs: 1000 };
  const at = (monotonicMs: number, wallMs = monotonicMs) =>
    freshness(
      token,
      { wallMs: obtainedAt.wallMs + wallMs, monotonicMs: obtainedAt.monotonicMs + monotonicMs },
      0.75,
    );

  it.each([
    [0, "fresh"],
    [749, "fresh"],
    [750, "due"],
    [999, "due"],
    [1000, "expired"],
    [5000, "expired"],
  ])("after %i of 1000 ms: %s", (ms, state) => {
    expect(at(ms)).toBe(state);
  });

  it.each([
    [10, 749, "fresh"],
    [10, 750, "due"],
    [10, 1000, "doubtful"],
    [999, 7_200_000, "doubtful"],
  ])("is by the wall clock at most doubtful (after %i ms, by the wall clock %i)", (...given) => {
    const [monotonicMs, wallMs, state] = given;
    expect(at(monotonicMs, wallMs)).toBe(state);
  });

  it.each([
    [10, "fresh"],
    [750, "due"],
    [1000, "expired"],
  ])("after %i ms is %s, also if the wall clock was set back", (monotonicMs, state) => {
    expect(at(monotonicMs, -7_200_000)).toBe(state);
  });
});

describe("the latest time for a pushed token to be due", () => {
  it.each([
    ["ten minutes before the end of an hour", HOUR_MS, 50 / 60],
    ["ten minutes before the end of a day", 24 * HOUR_MS, 1 - 10 / (24 * 60)],
    ["half of a life of twenty minutes", HOUR_MS / 3, 0.5],
    ["half of a shorter life", 40_000, 0.5],
  ])("is %s", (_what, lifeMs, share) => {
    expect(latestPushShare({ lifeMs })).toBeCloseTo(share, 9);
  });
});
