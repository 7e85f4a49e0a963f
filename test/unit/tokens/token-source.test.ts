import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import type { IdToken } from "../../../src/tokens/id-token.ts";
import { createMintQueue, type Mint } from "../../../src/tokens/mint-queue.ts";
import { createTokenSource, type TokenSourceOptions } from "../../../src/tokens/token-source.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { idToken } from "../../support/tokens.ts";

const HOUR_MS = 3600_000;
const MINUTE_MS = 60_000;
const A = "https://a.run.app";
const B = "https://b.run.app";
const unavailable = new MintError("mint_unavailable", "the token endpoint answered 503");
const never = new AbortController().signal;

/** A token source over mints that the test settles one by one. */
function setUp(options: Partial<TokenSourceOptions> = {}) {
  const clock = createFakeClock();
  const mints: {
    readonly audience: string;
    readonly signal: AbortSignal;
    readonly succeed: () => Promise<IdToken>;
    readonly fail: (error: unknown) => Promise<void>;
  }[] = [];
  const configured = options.configured ?? [A];
  const queue = createMintQueue({
    configured: new Set(configured),
    mintTimeoutMs: 5000,
    maxWaiting: 1000,
    clock,
    events: { minted: () => {}, mintFailed: () => {}, clockCompared: () => {} },
  });
  const source = createTokenSource({
    queue,
    mint: (audience, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<IdToken>();
      const token = idToken(audience, clock.now());
      mints.push({
        audience,
        signal,
        succeed: async () => {
          resolve(token);
          await settle();
          return token;
        },
        fail: async (error) => {
          reject(error);
          await settle();
        },
      });
      return promise;
    },
    configured,
    verificationAudience: "verification",
    maxAudiences: 3,
    refreshAt: 0.75,
    clock,
    ...options,
  });

  /** Mints the tokens of these audiences, one after the other. */
  async function warmUp(...audiences: readonly string[]): Promise<void> {
    for (const audience of audiences) {
      void source.token(audience);
      await settle();
      await mints.at(-1)?.succeed();
    }
  }

  /** The way to mint of another credential, which succeeds and says so in its tokens. */
  const mintAs =
    (account: string, minted: string[] = []): Mint =>
    async (audience) => {
      minted.push(audience);
      return { ...idToken(audience, clock.now()), header: `Bearer ${account}` };
    };
  const isCached = (audience: string) => !(source.token(audience) instanceof Promise);
  return { clock, mints, source, queue, warmUp, mintAs, isCached };
}

/** Lets everything run that promises have made ready. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("token", () => {
  it("returns the cached token of each audience", async () => {
    const { source, mints } = setUp();
    const [first, second] = [source.token(A), source.token(B)];
    await settle();
    const a = await mints[0]?.succeed();
    const b = await mints[1]?.succeed();
    expect([await first, await second]).toEqual([a, b]);
    expect([source.token(A), source.token(B)]).toEqual([a, b]);
    expect(mints.map(({ audience }) => audience)).toEqual([A, B]);
  });

  it("rejects with the failure of the mint", async () => {
    const { source, mints } = setUp();
    const waiting = source.token(B);
    await settle();
    await mints[0]?.fail(unavailable);
    await expect(waiting).rejects.toBe(unavailable);
  });
});

describe("tokenToPush", () => {
  it("keeps enough life in the token for a reader that polls, and ends with the polls", async () => {
    const clock = createFakeClock();
    const events = { minted: () => {}, mintFailed: () => {}, clockCompared: () => {} };
    const limits = { configured: new Set<string>(), mintTimeoutMs: 5000, maxWaiting: 10 };
    let mints = 0;
    const { source } = setUp({
      clock,
      configured: [],
      refreshAt: 0.9,
      queue: createMintQueue({ ...limits, clock, events }),
      mint: async (audience) => {
        mints += 1;
        return idToken(audience, clock.now());
      },
    });
    for (let polls = 0; polls < 6 * 60; polls++) {
      const { obtainedAt, lifeMs } = await source.tokenToPush(A);
      const leftMs = lifeMs - (clock.now().wallMs - obtainedAt.wallMs);
      expect(leftMs).toBeGreaterThan(9 * MINUTE_MS);
      clock.advance(MINUTE_MS);
      await settle();
    }
    expect(mints).toBe(8);
    for (let minutes = 0; minutes < 120; minutes++) {
      clock.advance(MINUTE_MS);
      await settle();
    }
    expect(source.size()).toBe(0);
    expect(clock.armed()).toEqual([]);
  });
});

describe("start", () => {
  it("mints for every configured audience and renews their tokens from then on", async () => {
    const { source, mints, clock } = setUp({ configured: [A, B] });
    source.start();
    await settle();
    expect(mints.map(({ audience }) => audience)).toEqual([A, B]);
    for (const mint of mints) await mint.succeed();
    clock.advance(HOUR_MS * 0.75);
    await settle();
    expect(mints.slice(2).map(({ audience }) => audience)).toEqual([A, B]);
  });
});

describe("readiness", () => {
  it("has the last failure of each configured audience until it has a token", async () => {
    const { source, mints, clock } = setUp();
    expect(source.readiness()).toEqual([{ audience: A, token: undefined, error: undefined }]);
    source.start();
    await settle();
    await mints[0]?.fail(unavailable);
    expect(source.readiness()).toEqual([{ audience: A, token: undefined, error: unavailable }]);
    clock.advance(1000);
    await settle();
    const token = await mints[1]?.succeed();
    expect(source.readiness()).toEqual([{ audience: A, token, error: undefined }]);
  });
});

describe("audiences that are not configured", () => {
  it("are dropped when they were not used for a whole life", async () => {
    const { source, clock, mints, warmUp } = setUp({ configured: [] });
    await warmUp(B);
    clock.advance(HOUR_MS * 0.75);
    await settle();
    expect(mints, "used within its life, and so renewed").toHaveLength(2);
    await mints[1]?.succeed();
    clock.advance(HOUR_MS * 0.75);
    await settle();
    expect(mints, "not used, and so dropped").toHaveLength(2);
    expect(source.size()).toBe(0);
    expect(clock.armed()).toEqual([]);
  });

  it("are limited: the least recently used one is dropped, and never a configured one", async () => {
    const { source, clock, warmUp, isCached } = setUp();
    await warmUp(A, "b", "c", "d");
    expect(isCached("b"), "now more recently used than c").toBe(true);
    await warmUp("e");
    expect(source.size()).toBe(4);
    expect(clock.armed()).toHaveLength(4);
    for (const audience of [A, "b", "d", "e"]) expect(isCached(audience)).toBe(true);
    expect(isCached("c")).toBe(false);
  });

  it("are not dropped while they are being minted, however many there are", async () => {
    const { source, mints } = setUp({ configured: [], maxAudiences: 1 });
    const audiences = Array.from({ length: 6 }, (_, index) => `${index}`);
    const waiting = [...audiences, ...audiences].map(async (audience) => source.token(audience));
    await settle();
    expect(source.size()).toBe(6);
    for (const mint of mints) await mint.succeed();
    const tokens = await Promise.all(waiting);
    expect(tokens.map(({ audience }) => audience)).toEqual([...audiences, ...audiences]);
    expect(mints).toHaveLength(6);
    expect(source.size()).toBe(1);
  });
});

describe("callers that are told apart", () => {
  it("share the token of an audience", async () => {
    const { source, mints } = setUp();
    const [first, second] = [source.token("c", "web"), source.token("c", "cart")];
    await settle();
    const token = await mints[0]?.succeed();
    expect([await first, await second]).toEqual([token, token]);
    expect(mints).toHaveLength(1);
  });

  it("do not wait for each other's turn: an audience is minted at the turn of either", async () => {
    const { source, mints } = setUp();
    for (const audience of ["1", "2", "3", "4"]) void source.token(audience, "flood");
    const found = source.token("4", "web");
    await settle();
    expect(mints.map(({ audience }) => audience)).toEqual(["1", "2", "4"]);
    const token = await mints[2]?.succeed();
    expect(await found).toBe(token);
  });

  it("are refused more audiences, which then take no room in the cache, while too many wait", async () => {
    const { source } = setUp();
    const waiting = Array.from({ length: 202 }, (_, index) => source.token(`${index}`, "flood"));
    const size = source.size();
    const full = { code: "mint_unavailable", caller: "flood" };
    const refused = source.token("one more", "flood");
    expect(source.size()).toBe(size);
    await expect(refused).rejects.toMatchObject(full);
    expect(source.token("0", "flood"), "one that waits already").toBe(waiting[0]);
    void source.token("one more", "web");
    expect(source.size()).toBe(size + 1);
  });

  it("have a limit of audiences each, so that one's flood drops no other's tokens", async () => {
    const { source, mints, isCached } = setUp({ configured: [], maxAudiences: 2 });
    for (const [audience, caller] of [
      ["a", "web"],
      ["1", "flood"],
      ["2", "flood"],
      ["3", "flood"],
    ] as const) {
      void source.token(audience, caller);
      await settle();
      await mints.at(-1)?.succeed();
    }
    expect(source.size()).toBe(3);
    expect(isCached("a")).toBe(true);
    expect(isCached("1")).toBe(false);
  });
});

describe("another key of the same account", () => {
  it("must mint one token; the cached tokens stay, and later mints are made with it", async () => {
    const { source, clock, mintAs, warmUp } = setUp({ configured: [A, B] });
    await warmUp(A, B);
    const old = source.token(A);
    const minted: string[] = [];
    const { verify, use } = source.prepareKey(mintAs("new key", minted));
    await verify(never);
    expect(minted).toEqual([A]);
    use();
    expect(source.token(A)).toBe(old);
    clock.advance(HOUR_MS * 0.75);
    await settle();
    expect(source.token(A)).toMatchObject({ header: "Bearer new key" });
  });

  it("is tried immediately where the old one had failed", async () => {
    const { source, clock, mints, mintAs } = setUp();
    source.start();
    await settle();
    await mints[0]?.fail(unavailable);
    source.prepareKey(mintAs("new key")).use();
    clock.advance(0);
    await settle();
    expect(source.token(A)).toMatchObject({ header: "Bearer new key" });
  });

  it("is verified for an audience of its own if none is configured", async () => {
    const { source, mintAs } = setUp({ configured: [] });
    const minted: string[] = [];
    await source.prepareKey(mintAs("new key", minted)).verify(never);
    await source.prepareAccount(mintAs("new account", minted)).verify(never);
    expect(minted).toEqual(["verification", "verification"]);
  });
});

describe("another account", () => {
  it("replaces every cached token in one step, and no check waits for it", async () => {
    const { source, mintAs, warmUp } = setUp({ configured: [A, B] });
    await warmUp(A, B, "c");
    const old = [A, B, "c"].map((audience) => source.token(audience));
    const { verify, use } = source.prepareAccount(mintAs("new"));
    await verify(never);
    expect([A, B, "c"].map((audience) => source.token(audience))).toEqual(old);
    use();
    for (const audience of [A, B, "c"]) {
      expect(source.token(audience)).toMatchObject({ audience, header: "Bearer new" });
    }
  });

  it("must have a token for every configured audience; the old account renews meanwhile", async () => {
    const { source, clock, mints, mintAs, warmUp } = setUp({ configured: [A, B] });
    await warmUp(A, B);
    const { verify } = source.prepareAccount(async (audience, signal) => {
      if (audience === B) throw unavailable;
      return mintAs("new")(audience, signal);
    });
    await expect(verify(never)).rejects.toBe(unavailable);
    clock.advance(HOUR_MS * 0.75);
    await settle();
    const [a, b] = [await mints[2]?.succeed(), await mints[3]?.succeed()];
    expect([source.token(A), source.token(B)]).toEqual([a, b]);
  });

  it("answers checks that wait for a mint of the old account with its own tokens", async () => {
    const { source, mints, mintAs } = setUp();
    const [waiting, other] = [source.token(A), source.token(B)];
    await settle();
    const { verify, use } = source.prepareAccount(mintAs("new"));
    await verify(never);
    use();
    await mints[0]?.succeed();
    await mints[1]?.fail(unavailable);
    expect(await waiting).toMatchObject({ audience: A, header: "Bearer new" });
    expect(await other).toMatchObject({ audience: B, header: "Bearer new" });
  });

  it("leaves an audience that is not configured cold if it could not be minted before", async () => {
    const { source, mintAs, warmUp, isCached } = setUp();
    await warmUp(A, "c", "d");
    let isBroken = true;
    const { verify, use } = source.prepareAccount(async (audience, signal) => {
      if (isBroken && audience === "c") throw unavailable;
      return mintAs("new")(audience, signal);
    });
    await verify(never);
    use();
    expect(isCached("d")).toBe(true);
    isBroken = false;
    expect(await source.token("c")).toMatchObject({ header: "Bearer new" });
  });

  it("keeps the order in which audiences were used", async () => {
    const { source, mintAs, warmUp, isCached } = setUp({ configured: [], maxAudiences: 2 });
    await warmUp("old", "recent");
    const { verify, use } = source.prepareAccount(mintAs("new"));
    await verify(never);
    use();
    await source.token("newest");
    expect(isCached("recent")).toBe(true);
    expect(isCached("old")).toBe(false);
  });
});

describe("close", () => {
  it("leaves no timer armed", async () => {
    const { source, queue, mints, clock } = setUp({ configured: [A, B] });
    source.start();
    await settle();
    await mints[1]?.succeed();
    source.close();
    queue.close();
    await settle();
    expect(mints.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    expect(clock.armed()).toEqual([]);
  });
});
