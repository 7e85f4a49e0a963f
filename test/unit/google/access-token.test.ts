import { describe, expect, it } from "vitest";
import { createAccessTokenSource, type AccessToken } from "../../../src/google/access-token.ts";
import { MintError } from "../../../src/system/errors.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const never = new AbortController().signal;

function setUp(lifeMs = 3_600_000) {
  const clock = createFakeClock();
  const asked: PromiseWithResolvers<AccessToken>[] = [];
  const source = createAccessTokenSource(() => {
    const next = Promise.withResolvers<AccessToken>();
    asked.push(next);
    return next.promise;
  }, clock);
  const token = () => ({ headers: {}, fetch: undefined, obtainedAt: clock.now(), lifeMs });
  return { clock, asked, source, token };
}

describe("an access token", () => {
  it("is obtained once for all who wait, and kept to a minute before its end", async () => {
    const { clock, asked, source, token } = setUp();
    const waiting = [source.get(never), source.get(never)];
    const first = token();
    asked[0]?.resolve(first);
    expect(await Promise.all(waiting)).toEqual([first, first]);
    clock.advance(3_600_000 - 60_001);
    expect(await source.get(never)).toBe(first);
    clock.advance(1);
    void source.get(never);
    expect(asked).toHaveLength(2);
  });

  it("that is forgotten is obtained anew, an older one is not missed", async () => {
    const { asked, source, token } = setUp();
    const getting = source.get(never);
    asked[0]?.resolve(token());
    const first = await getting;
    source.forget(token());
    expect(await source.get(never)).toBe(first);
    source.forget(first);
    void source.get(never);
    expect(asked).toHaveLength(2);
  });

  it("that cannot be had fails all who wait, and is asked for again by the next", async () => {
    const { asked, source } = setUp();
    const refused = new MintError("mint_rejected", "no");
    const waiting = Promise.allSettled([source.get(never), source.get(never)]);
    asked[0]?.reject(refused);
    expect(await waiting).toMatchObject([{ reason: refused }, { reason: refused }]);
    void source.get(never);
    expect(asked).toHaveLength(2);
  });

  it("is asked for again where another's time ran out", async () => {
    const { asked, source, token } = setUp();
    const first = new AbortController();
    const failing = source.get(first.signal);
    const second = source.get(never);
    first.abort();
    asked[0]?.reject(new MintError("mint_timeout", "late"));
    await expect(failing).rejects.toThrow("late");
    const fresh = token();
    asked[1]?.resolve(fresh);
    expect(await second).toBe(fresh);
  });
});
