import type { Clock } from "../system/clock.ts";
import type { MintError } from "../system/errors.ts";
import { createCachedToken, type CachedToken } from "./cached-token.ts";
import type { IdToken } from "./id-token.ts";
import type { Mint, MintQueue } from "./mint-queue.ts";
import { MintQueueFull } from "./not-attempted.ts";
import { createRecentAudiences } from "./recent-audiences.ts";
import { createVerifier, type Rotation } from "./rotation.ts";

export interface TokenSourceOptions {
  readonly mint: Mint;
  readonly queue: MintQueue;
  /** Always renewed and never dropped. */
  readonly configured: readonly string[];
  /** Minted for to verify a new credential if no audience is configured. */
  readonly verificationAudience: string;
  /** How many further audiences are cached per caller; the least recently used is dropped first. */
  readonly maxAudiences: number;
  /** Share of a token's life after which it is renewed, jittered by 10 %. */
  readonly refreshAt: number;
  readonly clock: Clock;
}

/**
 * Returns the token of an audience: the cached one if it is unexpired, else a promise of the next
 * one, which rejects with a MintError within the mint timeout. Each caller has limits of its own.
 */
export type GetToken = (audience: string, caller?: string) => IdToken | Promise<IdToken>;

export interface TokenSource {
  readonly token: GetToken;
  /**
   * The same for a reader that polls: from now on the audience's token is renewed early enough to
   * be used until the next poll, whatever `refreshAt` says.
   */
  readonly tokenToPush: GetToken;
  /** Each configured audience with its unexpired token and the failure since its last success. */
  readonly readiness: () => readonly {
    readonly audience: string;
    readonly token: IdToken | undefined;
    readonly error: MintError | undefined;
  }[];
  /** How many audiences are cached. */
  readonly size: () => number;
  /** Starts to mint and renew the tokens of the configured audiences. */
  readonly start: () => void;
  /**
   * Prepares the change to another key of the same account: it must mint one token, and the cached
   * tokens stay.
   */
  readonly prepareKey: (mint: Mint) => Rotation;
  /**
   * Prepares the change to another account: it must have a token for every configured audience, and
   * then replaces all cached tokens in one step, so that no check meets both accounts. The other
   * cached audiences get their new tokens before the step if they can be minted in time, and after
   * it otherwise.
   */
  readonly prepareAccount: (mint: Mint) => Rotation;
  /** Ends every timer. */
  readonly close: () => void;
}

/** Creates the cache of tokens, which mints them when they are needed or due. */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { queue, clock, refreshAt, maxAudiences } = options;
  const [firstRequired = options.verificationAudience] = options.configured;
  let { mint } = options;
  const configured = new Map(
    options.configured.map((audience) => [audience, create(audience, true)]),
  );
  const others = new Map<string, CachedToken>();
  const recent = createRecentAudiences({
    max: maxAudiences,
    onDropped: (audience) => {
      others.get(audience)?.stop();
      others.delete(audience);
    },
  });
  const all = () => [...configured, ...others];

  function create(audience: string, always: boolean, seed?: IdToken): CachedToken {
    return createCachedToken({
      always,
      seed,
      refreshAt,
      clock,
      mint: (reason, caller) => {
        const minted = queue.run(mint, audience, reason, caller);
        return reason === "cold" ? minted.finally(recent.pin(audience)) : minted;
      },
      join: (caller) => queue.join(mint, audience, caller),
      onIdle: () => recent.drop(audience),
    });
  }

  function find(audience: string): CachedToken {
    const known = configured.get(audience) ?? others.get(audience);
    if (known !== undefined) return known;
    const cached = create(audience, false);
    others.set(audience, cached);
    return cached;
  }

  function get(audience: string, caller = "", isPushed = false): IdToken | Promise<IdToken> {
    if (!configured.has(audience)) {
      // A flood is refused before it takes the cache's space and time.
      const hasRoom = others.has(audience) || queue.hasRoom(caller);
      if (!hasRoom) return Promise.reject(new MintQueueFull(caller));
      recent.use(audience, caller);
    }
    const cached = find(audience);
    if (isPushed) cached.renewForPush();
    return cached.get(caller);
  }

  function prepareKey(next: Mint): Rotation {
    const required = [firstRequired];
    const { verify } = createVerifier({ ...options, mint: next, required, wanted: () => [] });
    return {
      verify,
      use: () => {
        mint = next;
        for (const [, cached] of all()) cached.forgetFailures();
      },
    };
  }

  function prepareAccount(next: Mint): Rotation {
    const required = configured.size === 0 ? [firstRequired] : options.configured;
    const isCached = ([, cached]: readonly [string, CachedToken]) =>
      cached.peek().token !== undefined;
    const wanted = () => [...others].filter(isCached).map(([audience]) => audience);
    const { tokens, verify } = createVerifier({ ...options, mint: next, required, wanted });
    return { verify, use: () => replaceAll(next, tokens) };
  }

  /** Runs in one turn, so that no check meets both accounts. */
  function replaceAll(next: Mint, tokens: ReadonlyMap<string, IdToken>): void {
    mint = next;
    const replaced = all();
    for (const audience of configured.keys()) {
      configured.set(audience, create(audience, true, tokens.get(audience)));
    }
    for (const audience of others.keys()) {
      const seed = tokens.get(audience);
      if (seed === undefined) others.delete(audience);
      else others.set(audience, create(audience, false, seed));
    }
    for (const [audience, cached] of replaced) {
      cached.stop((caller) => find(audience).get(caller));
      if (!configured.has(audience) && !others.has(audience)) recent.drop(audience);
    }
  }

  return {
    token: (audience, caller) => get(audience, caller),
    tokenToPush: (audience, caller) => get(audience, caller, true),
    readiness: () => [...configured].map(([audience, cached]) => ({ audience, ...cached.peek() })),
    size: () => configured.size + others.size,
    start: () => {
      for (const cached of configured.values()) void cached.get();
    },
    prepareKey,
    prepareAccount,
    close: () => {
      for (const [, cached] of all()) cached.stop();
    },
  };
}
