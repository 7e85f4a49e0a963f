import type { Clock } from "../system/clock.ts";
import type { MintError } from "../system/errors.ts";
import { createCachedToken, type CachedToken } from "./cached-token.ts";
import type { IdToken } from "./id-token.ts";
import type { Mint, MintQueue } from "./mint-queue.ts";
import { createVerifier, type Rotation } from "./rotation.ts";

export interface TokenSourceOptions {
  readonly mint: Mint;
  readonly queue: MintQueue;
  /** Always renewed and never dropped. */
  readonly configured: readonly string[];
  /** Minted for to verify a new credential if no audience is configured. */
  readonly verificationAudience: string;
  /** How many further audiences are cached; the least recently used one is dropped first. */
  readonly maxAudiences: number;
  /** Share of a token's life after which it is renewed, jittered by 10 %. */
  readonly refreshAt: number;
  readonly clock: Clock;
}

export interface TokenSource {
  /**
   * The token of an audience: the cached one if it is unexpired, else a promise of the next one,
   * which rejects with a MintError within the mint timeout.
   */
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  /**
   * The same for a reader that polls: from now on the audience's token is renewed early enough to
   * be used until the next poll, whatever `refreshAt` says.
   */
  readonly tokenToPush: (audience: string) => IdToken | Promise<IdToken>;
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
  /** The least recently used audience is the first. */
  const others = new Map<string, CachedToken>();
  const all = () => [...configured, ...others];

  function create(audience: string, always: boolean, seed?: IdToken): CachedToken {
    return createCachedToken({
      always,
      seed,
      refreshAt,
      clock,
      mint: (reason) => {
        dropExcess();
        return queue.run(mint, audience, reason).finally(dropExcess);
      },
      onIdle: () => drop(audience),
    });
  }

  function find(audience: string): CachedToken {
    const always = configured.get(audience);
    if (always !== undefined) return always;
    const cached = others.get(audience) ?? create(audience, false);
    others.delete(audience);
    others.set(audience, cached);
    return cached;
  }

  /** Drops the least recently used audiences beyond the maximum, but none that is being minted. */
  function dropExcess(): void {
    for (const [audience, cached] of others) {
      if (others.size <= maxAudiences) return;
      if (!cached.isPending()) drop(audience);
    }
  }

  function drop(audience: string): void {
    others.get(audience)?.stop();
    others.delete(audience);
  }

  function prepareKey(next: Mint): Rotation {
    const required = [firstRequired];
    const { verify } = createVerifier({ ...options, mint: next, required, wanted: () => [] });
    const use = () => {
      mint = next;
      for (const [, cached] of all()) cached.forgetFailures();
    };
    return { verify, use };
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
    const order = [...others.keys()];
    others.clear();
    for (const audience of configured.keys()) {
      configured.set(audience, create(audience, true, tokens.get(audience)));
    }
    for (const audience of order) {
      const seed = tokens.get(audience);
      if (seed !== undefined) others.set(audience, create(audience, false, seed));
    }
    for (const [audience, cached] of replaced) cached.stop(() => find(audience).get());
  }

  return {
    token: (audience) => find(audience).get(),
    tokenToPush: (audience) => {
      const cached = find(audience);
      cached.renewForPush();
      return cached.get();
    },
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
