import { describe, expect, it } from "vitest";
import {
  accessTokenOf,
  createAccessTokenSource,
  quotaProject,
  type AccessToken,
} from "../../../src/google/access-token.ts";
import { MintError } from "../../../src/system/errors.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const never = new AbortController().signal;
const HOUR_MS = 3_600_000;

function setUp(lifeMs = HOUR_MS) {
  const clock = createFakeClock();
  const requests: PromiseWithResolvers<AccessToken>[] = [];
  const source = createAccessTokenSource(() => {
    const next = Promise.withResolvers<AccessToken>();
    requests.push(next);
    return next.promise;
  }, clock);
  const token = () => ({ headers: {}, fetch: undefined, obtainedAt: clock.now(), lifeMs });

  /** Obtains the first token. */
  async function warmUp(): Promise<AccessToken> {
    const getting = source.get(never);
    requests[0]?.resolve(token());
    return getting;
  }

  return { clock, requests, source, token, warmUp };
}

describe("createAccessTokenSource", () => {
  it("obtains one token for concurrent callers and caches it until a minute before its expiry", async () => {
    const { clock, requests, source, token } = setUp();
    const waiting = [source.get(never), source.get(never)];
    const first = token();
    requests[0]?.resolve(first);
    expect(await Promise.all(waiting)).toEqual([first, first]);
    clock.advance(HOUR_MS - 60_001);
    expect(await source.get(never)).toBe(first);
    clock.advance(1);
    void source.get(never);
    expect(requests).toHaveLength(2);
  });

  it.each(["sleep", "shiftWall"] as const)(
    "obtains a new token if the old one may have expired meanwhile (%s)",
    async (pass) => {
      const { clock, requests, source, warmUp } = setUp();
      await warmUp();
      clock[pass](HOUR_MS);
      void source.get(never);
      expect(requests).toHaveLength(2);
    },
  );

  it("obtains a new token once the cached one is forgotten, and ignores any other", async () => {
    const { requests, source, token, warmUp } = setUp();
    const first = await warmUp();
    source.forget(token());
    expect(await source.get(never)).toBe(first);
    source.forget(first);
    void source.get(never);
    expect(requests).toHaveLength(2);
  });

  it("rejects all concurrent callers if the request fails, and sends another for the next", async () => {
    const { requests, source } = setUp();
    const refused = new MintError("mint_rejected", "no");
    const waiting = Promise.allSettled([source.get(never), source.get(never)]);
    requests[0]?.reject(refused);
    expect(await waiting).toMatchObject([{ reason: refused }, { reason: refused }]);
    void source.get(never);
    expect(requests).toHaveLength(2);
  });

  it("sends another request for a caller whose time is not over when the first caller's is", async () => {
    const { requests, source, token } = setUp();
    const first = new AbortController();
    const failing = source.get(first.signal);
    const second = source.get(never);
    first.abort();
    requests[0]?.reject(new MintError("mint_timeout", "late"));
    await expect(failing).rejects.toThrow("late");
    const fresh = token();
    requests[1]?.resolve(fresh);
    expect(await second).toBe(fresh);
  });
});

describe("accessTokenOf", () => {
  const obtainedAt = { wallMs: 0, monotonicMs: 0 };
  const parse = (fields: unknown) =>
    accessTokenOf(
      { status: 200, headers: new Headers(), body: JSON.stringify(fields), issuerNowMs: undefined },
      obtainedAt,
      { name: "the peer" },
      { "x-goog-user-project": "p" },
    );

  it("has the token's header, further headers and its life", () => {
    expect(parse({ access_token: "ya29.abc", expires_in: 3599 })).toEqual({
      headers: { authorization: "Bearer ya29.abc", "x-goog-user-project": "p" },
      fetch: undefined,
      obtainedAt,
      lifeMs: 3_599_000,
    });
  });

  it.each([{}, { access_token: "ya29.abc" }, { expires_in: 3599 }])("refuses %j", (fields) => {
    expect(() => parse(fields)).toThrow(MintError);
  });
});

describe("quotaProject", () => {
  it("is a header if there is a project", () => {
    expect(quotaProject("p")).toEqual({ "x-goog-user-project": "p" });
    expect(quotaProject(undefined)).toEqual({});
  });
});
