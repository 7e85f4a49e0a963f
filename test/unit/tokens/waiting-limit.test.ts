import { describe, expect, it } from "vitest";
import type { IdToken } from "../../../src/tokens/id-token.ts";
import { createWaitingLimit } from "../../../src/tokens/waiting-limit.ts";
import { idToken } from "../../support/tokens.ts";

const MAX_WAITING = 5000;
const token = idToken("a", { wallMs: 0, monotonicMs: 0 });
const full = { code: "mint_unavailable" };

/** A limit at which as many requests of a caller wait as may. */
function fill(caller?: string, limit = createWaitingLimit()) {
  const minted = Promise.withResolvers<IdToken>();
  const waiting = Array.from({ length: MAX_WAITING }, async () => limit(minted.promise, caller));
  return { limit, minted, waiting };
}

describe("requests that wait for a token", () => {
  it("are limited per caller; one more is refused, and a cached token is not", async () => {
    const { limit, minted, waiting } = fill("web");
    await expect(limit(minted.promise, "web")).rejects.toMatchObject(full);
    expect(limit(token, "web")).toBe(token);
    const other = limit(minted.promise, "cart");
    minted.resolve(token);
    expect(await other).toBe(token);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([token]));
  });

  it("count until they have their token or its failure", async () => {
    const { limit, minted, waiting } = fill();
    await expect(limit(minted.promise, undefined)).rejects.toMatchObject(full);
    minted.reject(new Error("refused"));
    await Promise.allSettled(waiting);
    const again = fill(undefined, limit);
    again.minted.resolve(token);
    expect(new Set(await Promise.all(again.waiting))).toEqual(new Set([token]));
  });

  it("that are refused leave the failure to those that wait", async () => {
    const { limit } = fill("web");
    const failing = Promise.reject(new Error("refused"));
    await expect(limit(failing, "web")).rejects.toMatchObject(full);
  });
});
