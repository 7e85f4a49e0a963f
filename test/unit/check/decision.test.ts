import { expect, it } from "vitest";
import { createAudienceRule } from "../../../src/access/audience.ts";
import { createDecision, type DecisionOptions } from "../../../src/check/decision.ts";
import { MintError } from "../../../src/system/errors.ts";
import { idToken } from "../../support/tokens.ts";

const A = "https://a.run.app";
const token = idToken(A, { wallMs: 0, monotonicMs: 0 });
const bare = { secret: undefined, named: undefined, host: undefined };

function setUp(options: Partial<DecisionOptions> = {}) {
  const outcomes: string[] = [];
  const asked: string[] = [];
  const decide = createDecision({
    chooseAudience: createAudienceRule({ configured: [A], allowed: [], fromHost: false }),
    token: (audience) => {
      asked.push(audience);
      return token;
    },
    checked: (outcome, durationMs) => {
      expect(durationMs).toBeGreaterThanOrEqual(0);
      outcomes.push(outcome);
    },
    ...options,
  });
  return { decide, outcomes, asked };
}

it("a check with a cached token is decided synchronously", () => {
  const { decide, outcomes, asked } = setUp();
  expect(decide(bare)).toEqual({ token });
  expect(asked).toEqual([A]);
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
  const { decide, outcomes, asked } = setUp();
  expect(decide({ ...bare, named: "https://b.run.app" })).toEqual({
    denied: "audience_not_allowed",
  });
  expect(asked).toEqual([]);
  expect(outcomes).toEqual(["audience_not_allowed"]);
});

it("the check secret is compared before anything else", () => {
  const secret = { matches: (given: string | undefined) => given === "open sesame" };
  const { decide, outcomes } = setUp({ secret });
  expect(decide({ ...bare, named: "https://b.run.app" })).toEqual({ denied: "check_secret_wrong" });
  expect(decide({ ...bare, secret: "open sesame" })).toEqual({ token });
  expect(outcomes).toEqual(["check_secret_wrong", "ok"]);
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
