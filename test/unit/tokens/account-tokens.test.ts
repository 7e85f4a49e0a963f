import { describe, expect, it } from "vitest";
import { createAccountTokens, type Minter } from "../../../src/tokens/account-tokens.ts";
import { createMintQueue, type Mint } from "../../../src/tokens/mint-queue.ts";
import { createTokenSource } from "../../../src/tokens/token-source.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { idToken } from "../../support/tokens.ts";

const A = "https://a.run.app";
/** Three quarters of an hour of life. */
const DUE_MS = 2_700_000;
const never = new AbortController().signal;

/** Tokens of a credential that can impersonate any account. */
function setUp() {
  const clock = createFakeClock();
  const minted: string[] = [];
  const mintWith =
    (how: string): Mint =>
    async (audience) => {
      minted.push(`${audience} ${how}`);
      return { ...idToken(audience, clock.now()), header: `Bearer ${how}` };
    };
  const minter = (name: string): Minter => ({
    mint: mintWith(name),
    mintAs: (account) => mintWith(`${account} by ${name}`),
  });
  const events = { minted: () => {}, mintFailed: () => {}, clockCompared: () => {} };
  const limits = { mintTimeoutMs: 5000, maxWaiting: 100 };
  const queue = createMintQueue({ configured: new Set([A]), ...limits, clock, events });
  const common = { queue, verificationAudience: "v", maxAudiences: 3, refreshAt: 0.75, clock };
  const create = (mint: Mint, configured: readonly string[] = []) =>
    createTokenSource({ ...common, mint, configured });
  const first = minter("first");
  const tokens = createAccountTokens(first, create(first.mint, [A]), (mint) => create(mint));
  const header = async (audience: string, account?: string) =>
    (await tokens.token({ audience, account })).header;
  return { clock, minted, minter, tokens, header };
}

describe("createAccountTokens", () => {
  it("caches tokens by account and audience", async () => {
    const { header, minted, tokens } = setUp();
    for (let round = 0; round < 2; round++) {
      expect(await header(A)).toBe("Bearer first");
      expect(await header(A, "web@p")).toBe("Bearer web@p by first");
      expect(await header("b", "web@p")).toBe("Bearer web@p by first");
      expect(await header(A, "cart@p")).toBe("Bearer cart@p by first");
    }
    expect(minted).toHaveLength(4);
    expect(tokens.size()).toBe(4);
    tokens.close();
  });

  it("limits how many requests of a caller wait, for checks and pushes of any account", async () => {
    const { tokens } = setUp();
    for (let waiting = 0; waiting < 5000; waiting++) {
      const request = { audience: A, caller: "web", account: waiting % 2 ? "web@p" : undefined };
      void (waiting % 3 ? tokens.token(request) : tokens.tokenToPush(request));
    }
    const refused = { code: "mint_unavailable" };
    await expect(tokens.token({ audience: A, caller: "web" })).rejects.toMatchObject(refused);
    tokens.close();
  });

  it("verifies an account by a mint that caches nothing", async () => {
    const { minted, tokens } = setUp();
    await tokens.verify("web@p", never);
    expect(minted).toEqual(["v web@p by first"]);
    expect(tokens.size()).toBe(1);
    tokens.close();
  });

  it("hands tokens out for a push likewise", async () => {
    const { tokens } = setUp();
    const pushed = await tokens.tokenToPush({ audience: A, account: "web@p", caller: "web" });
    expect(pushed).toMatchObject({ audience: A, header: "Bearer web@p by first" });
    expect(tokens.token({ audience: A, account: "web@p" })).toBe(pushed);
    tokens.close();
  });

  it("drops the tokens of accounts that are no longer wanted", async () => {
    const { header, tokens, minted, clock } = setUp();
    await header(A);
    await header(A, "web@p");
    await header(A, "cart@p");
    tokens.retain(new Set(["web@p"]));
    expect(tokens.size()).toBe(2);
    await header(A, "web@p");
    expect(minted).toHaveLength(3);
    await header(A, "cart@p");
    expect(minted).toHaveLength(4);
    tokens.close();
    expect(clock.armed()).toEqual([]);
  });

  it.each(["prepareKey", "prepareAccount"] as const)(
    "%s leaves the tokens of impersonated accounts, and mints them with the new credential next",
    async (prepare) => {
      const { header, tokens, minter, clock } = setUp();
      await header(A);
      await header(A, "web@p");
      const { verify, use } = tokens[prepare](minter("second"));
      await verify(never);
      use();
      expect(await header(A, "web@p")).toBe("Bearer web@p by first");
      expect(await header("b", "web@p")).toBe("Bearer web@p by second");
      expect(await header("b", "cart@p")).toBe("Bearer cart@p by second");
      expect(await header(A)).toBe(prepare === "prepareKey" ? "Bearer first" : "Bearer second");
      clock.advance(DUE_MS);
      await new Promise((resolve) => setImmediate(resolve));
      expect(await header(A, "web@p")).toBe("Bearer web@p by second");
      tokens.close();
    },
  );
});
