import { describe, expect, it } from "vitest";
import { bearerOf, idTokenOf, jsonOf, lifeOf } from "../../../src/google/answers.ts";
import type { Answer } from "../../../src/google/exchange.ts";
import { MintError } from "../../../src/system/errors.ts";
import { compactToken } from "../../support/tokens.ts";

const peer = { name: "the peer" };
const obtainedAt = { wallMs: Date.UTC(2026, 0, 1), monotonicMs: 1000 };
const exp = obtainedAt.wallMs / 1000 + 3600;

function answer(body: string, issuerNowMs?: number): Answer {
  return { status: 200, headers: new Headers(), body, issuerNowMs };
}

/** The MintError that the function throws. */
function failureOf(run: () => unknown): MintError {
  try {
    run();
  } catch (error) {
    if (error instanceof MintError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("jsonOf", () => {
  it("returns the fields of a JSON object", () => {
    expect(jsonOf(answer('{"id_token":"x"}'), peer)).toEqual({ id_token: "x" });
  });

  it.each(["", "secret", "null", "7", '"secret"'])("refuses %j without quoting it", (body) => {
    expect(failureOf(() => jsonOf(answer(body), peer))).toMatchObject({
      code: "mint_invalid_answer",
      message: "the peer's answer is not usable: it is not a JSON object",
    });
  });
});

describe("idTokenOf", () => {
  it("counts the token's life by the issuer's clock", () => {
    const token = compactToken({ aud: "a", exp });
    const issuerNowMs = obtainedAt.wallMs + 600_000;
    const parsed = idTokenOf(token, "a", obtainedAt, answer("", issuerNowMs), peer);
    expect(parsed).toMatchObject({ lifeMs: 2_999_000, skewMs: -600_000, obtainedAt });
  });

  it("assumes no skew without a Date header", () => {
    const token = compactToken({ aud: "a", exp });
    const parsed = idTokenOf(token, "a", obtainedAt, answer(""), peer);
    expect(parsed).toMatchObject({ lifeMs: 3_599_000, skewMs: 0 });
  });

  it("turns a token that is not usable into a MintError that says why", () => {
    const token = compactToken({ aud: "b", exp });
    expect(failureOf(() => idTokenOf(token, "a", obtainedAt, answer(""), peer))).toMatchObject({
      code: "mint_invalid_answer",
      message: "the peer's answer is not usable: its id_token is for another audience",
    });
  });
});

describe("bearerOf", () => {
  it("returns the header value of an access token", () => {
    expect(bearerOf("ya29.abc", peer)).toBe("Bearer ya29.abc");
  });

  it.each([undefined, 7, "", "two words", "line\r\nbreak", "ü"])("refuses %j", (value) => {
    expect(failureOf(() => bearerOf(value, peer)).code).toBe("mint_invalid_answer");
  });
});

describe("lifeOf", () => {
  it("returns a life that has not ended", () => {
    expect(lifeOf(3_599_000, peer)).toBe(3_599_000);
  });

  it.each([0, -1, Number.NaN, Infinity])("refuses a life of %d ms", (lifeMs) => {
    expect(failureOf(() => lifeOf(lifeMs, peer)).code).toBe("mint_invalid_answer");
  });
});
