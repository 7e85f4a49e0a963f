import { expect, it } from "vitest";
import { createAudienceRule } from "../../../src/access/audience.ts";
import { createDecision, type DecisionOptions } from "../../../src/check/decision.ts";
import { MintError } from "../../../src/system/errors.ts";
import { idToken } from "../../support/tokens.ts";

const A = "https://a.run.app";
const token = idToken(A, { wallMs: 0, monotonicMs: 0 });
const bare = {
  secret: undefined,
  named: undefined,
  host: undefined,
  client: ["web.example.com"],
  principal: undefined,
};

function setUp(options: Partial<DecisionOptions> = {}) {
  const outcomes: string[] = [];
  const asked: unknown[] = [];
  const denials: unknown[] = [];
  const decide = createDecision({
    turns: undefined,
    authorize: createAudienceRule({ configured: [A], allowed: [], fromHost: false }),
    token: (request) => {
      asked.push(request);
      return token;
    },
    checked: (outcome, durationMs) => {
      expect(durationMs).toBeGreaterThanOrEqual(0);
      outcomes.push(outcome);
    },
    denied: (denial) => denials.push(denial),
    ...options,
  });
  return { decide, outcomes, asked, denials };
}

it("a check with a cached token is decided synchronously", () => {
  const { decide, outcomes, asked } = setUp();
  expect(decide(bare)).toEqual({ token });
  expect(asked).toEqual([{ audience: A }]);
  expect(outcomes).toEqual(["ok"]);
});

it("a check without a cached token is decided, and counted, once it is minted", async () => {
  const mint = Promise.withResolvers<typeof token>();
  const { decide, outcomes } = setUp({ token: () => mint.promise });
  const decision = decide(bare);
  expect(outcomes).toEqual([]);
  mint.resolve(token);
  expect(await decision).toEqual({ token });
  expect(outcomes).toEqual(["ok"]);
});

it("a check for an audience that is not allowed is denied, and asks for no token", () => {
  const { decide, outcomes, asked, denials } = setUp();
  const check = { ...bare, named: "https://b.run.app" };
  expect(decide(check)).toEqual({ denied: "audience_not_allowed" });
  expect(asked).toEqual([]);
  expect(denials).toEqual([
    expect.objectContaining({ code: "audience_not_allowed", named: "https://b.run.app" }),
  ]);
  expect(outcomes).toEqual(["audience_not_allowed"]);
});

it("the check secret is compared before anything else", () => {
  const secret = { matches: (given: string | undefined) => given === "open sesame" };
  const { decide, outcomes } = setUp({ secret });
  expect(decide({ ...bare, named: "https://b.run.app" })).toEqual({ denied: "check_secret_wrong" });
  expect(decide({ ...bare, secret: "open sesame" })).toEqual({ token });
  expect(outcomes).toEqual(["check_secret_wrong", "ok"]);
});

it("a caller's check gets the token of its account, and is counted for the caller", () => {
  const grant = { audience: A, account: "web@p", caller: "web" };
  const callers: (string | undefined)[] = [];
  const { decide, asked } = setUp({
    authorize: () => grant,
    checked: (_outcome, _durationMs, caller) => callers.push(caller),
  });
  expect(decide(bare)).toEqual({ token });
  expect(asked).toEqual([grant]);
  expect(callers).toEqual(["web"]);
});

it("a caller's denial names it for the audit, and no check secret", () => {
  const refused = { refused: "audience_not_allowed", caller: "web" } as const;
  const { decide, denials } = setUp({ authorize: () => refused });
  void decide({ ...bare, secret: "open sesame" });
  expect(denials).toMatchObject([{ code: "audience_not_allowed", caller: "web" }]);
  expect(JSON.stringify(denials)).not.toContain("sesame");
});

it("a check waits for its caller's turn before it asks for a token, and before its answer", async () => {
  const taken: PromiseWithResolvers<void>[] = [];
  const take = (caller: string) => {
    expect(caller).toBe("web");
    const turn = Promise.withResolvers<void>();
    taken.push(turn);
    return turn.promise;
  };
  const authorize = () => ({ audience: A, caller: "web" });
  const mint = Promise.withResolvers<typeof token>();
  const asked: string[] = [];
  const { decide, outcomes } = setUp({
    turns: { take, isFull: () => false },
    authorize,
    token: ({ audience }) => {
      asked.push(audience);
      return mint.promise;
    },
  });
  const decision = decide(bare);
  expect(asked).toEqual([]);
  taken[0]?.resolve();
  await expect.poll(() => asked).toEqual([A]);
  mint.resolve(token);
  await expect.poll(() => taken).toHaveLength(2);
  expect(outcomes).toEqual([]);
  taken[1]?.resolve();
  expect(await decision).toEqual({ token });
});

it("a check is refused immediately if too many of its caller wait for their turn", () => {
  const grant = { audience: A, caller: "web" };
  const turns = { take: () => undefined, isFull: (caller: string) => caller === "web" };
  const { decide, outcomes, asked } = setUp({ turns, authorize: () => grant });
  expect(decide(bare)).toEqual({ failed: "mint_unavailable" });
  expect(outcomes).toEqual(["mint_unavailable"]);
  expect(asked).toEqual([]);
});

it("a denial waits for its caller's turn; callers without an entry take turns as one", async () => {
  const turn = Promise.withResolvers<void>();
  const callers: string[] = [];
  const { decide, denials } = setUp({
    authorize: () => ({ refused: "caller_not_allowed" }),
    turns: {
      take: (caller) => {
        callers.push(caller);
        return turn.promise;
      },
      isFull: () => false,
    },
  });
  const decision = decide(bare);
  expect(callers).toEqual([""]);
  expect(denials).toEqual([]);
  turn.resolve();
  expect(await decision).toEqual({ denied: "caller_not_allowed" });
  expect(denials).toHaveLength(1);
});

it("a failed mint is a failure with its code", async () => {
  const error = new MintError("mint_timeout", "no answer");
  const { decide, outcomes } = setUp({ token: () => Promise.reject(error) });
  expect(await decide(bare)).toEqual({ failed: "mint_timeout" });
  expect(outcomes).toEqual(["mint_timeout"]);
});

it("an unexpected error is passed on and counted as no outcome", async () => {
  const bug = new TypeError("a bug");
  const { decide, outcomes } = setUp({ token: () => Promise.reject(bug) });
  await expect(decide(bare)).rejects.toBe(bug);
  expect(outcomes).toEqual([]);
});
