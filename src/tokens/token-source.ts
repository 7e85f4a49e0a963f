import { LRUCache } from "lru-cache";
import { elapsedMs, type Clock } from "../system/clock.ts";
import type { MintError } from "../system/errors.ts";
import { createCachedToken, type CachedToken } from "./cached-token.ts";
import type { Mint, MintQueue } from "./mint-queue.ts";
import type { IdToken } from "./id-token.ts";

export interface TokenSourceOptions {
  readonly mint: Mint;
  readonly queue: MintQueue;
  /** Always kept warm and never dropped. */
  readonly configured: readonly string[];
  /** How many further audiences are kept; the least recently used goes first. */
  readonly maxAudiences: number;
  /** Share of a token's life after which it is renewed, jittered by 10 %. */
  readonly refreshAt: number;
  readonly clock: Clock;
}

export interface TokenSource {
  /**
   * The token for an audience: at once while an unexpired one is cached, else as soon as it is
   * minted. Rejects with a MintError, within the mint timeout.
   */
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  /**
   * The same for whoever keeps the token until it asks again: from now on the audience's token is
   * renewed early enough for that, whatever `refreshAt` says.
   */
  readonly tokenToPush: (audience: string) => IdToken | Promise<IdToken>;
  /** Each configured audience with its unexpired token, and the failure since its last success. */
  readonly readiness: () => readonly {
    readonly audience: string;
    readonly token: IdToken | undefined;
    readonly error: MintError | undefined;
  }[];
  /** How many audiences are cached. */
  readonly size: () => number;
  /** Begins to keep the configured audiences warm. */
  readonly start: () => void;
  /** Mints with another key of the same account from now on; the cached tokens stay. */
  readonly useKey: (mint: Mint) => void;
  /**
   * Changes to another account, whose `first` token is there already: mints a token for every
   * cached audience, and then, in one turn, replaces them all. An audience that cannot be minted
   * for is cold afterwards. Never rejects.
   */
  readonly useAccount: (mint: Mint, first: IdToken) => Promise<void>;
  /** Ends every timer. */
  readonly close: () => void;
}

/** Mints at once for a change of the account; the rest of the queue's places are for checks. */
const CONCURRENT_AHEAD = 4;
/** A change of the account waits no longer for tokens that nobody has asked for yet. */
const MAX_AHEAD_MS = 30_000;

/** Creates the token cache over a way to mint. */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { queue, clock } = options;
  let { mint } = options;
  const configured = new Map(
    options.configured.map((audience) => [audience, keep(audience, true)]),
  );
  const others = new LRUCache<string, CachedToken>({
    max: options.maxAudiences,
    dispose: (kept) => kept.stop(),
  });

  function keep(audience: string, always: boolean, seed?: IdToken): CachedToken {
    return createCachedToken({
      ...options,
      always,
      seed,
      mint: (reason) => queue.run(mint, audience, reason),
      onIdle: () => others.delete(audience),
    });
  }

  function keptFor(audience: string): CachedToken {
    let kept = configured.get(audience) ?? others.get(audience);
    if (kept === undefined) {
      kept = keep(audience, false);
      others.set(audience, kept);
    }
    return kept;
  }

  const token = (audience: string) => keptFor(audience).get();

  async function useAccount(next: Mint, first: IdToken): Promise<void> {
    // The least recently used first, as they are put back.
    const cached = [...others].toReversed().filter(([, kept]) => kept.peek().token !== undefined);
    const audiences = new Set([...configured.keys(), ...cached.map(([audience]) => audience)]);
    const seeds = new Map([[first.audience, first]]);
    const missing = [...audiences].filter((audience) => !seeds.has(audience));
    await mintAhead(next, missing, (minted) => seeds.set(minted.audience, minted));
    // From here to the end in one turn, so that no check meets both accounts.
    mint = next;
    const before = [...configured, ...others];
    others.clear();
    for (const audience of audiences) {
      const always = configured.has(audience);
      const seed = seeds.get(audience);
      if (always) configured.set(audience, keep(audience, true, seed));
      else if (seed !== undefined) others.set(audience, keep(audience, false, seed));
    }
    for (const [audience, kept] of before) kept.stop(() => token(audience));
    start();
  }

  /** Mints a few at a time, each with its whole time, until all are done or it has taken too long. */
  async function mintAhead(
    next: Mint,
    audiences: readonly string[],
    onMinted: (token: IdToken) => void,
  ): Promise<void> {
    const startedAt = clock.now();
    const left = audiences.values();
    const work = async () => {
      for (const audience of left) {
        if (elapsedMs(startedAt, clock.now()) > MAX_AHEAD_MS) return;
        await queue.run(next, audience, "swap").then(onMinted, () => {});
      }
    };
    await Promise.all(Array.from({ length: CONCURRENT_AHEAD }, work));
  }

  function start(): void {
    for (const kept of configured.values()) void kept.get();
  }

  return {
    token,
    tokenToPush: (audience) => {
      const kept = keptFor(audience);
      kept.renewForPush();
      return kept.get();
    },
    readiness: () => [...configured].map(([audience, kept]) => ({ audience, ...kept.peek() })),
    size: () => configured.size + others.size,
    start,
    useKey: (next) => {
      mint = next;
      for (const kept of [...configured.values(), ...others.values()]) kept.forgetFailures();
    },
    useAccount,
    close: () => {
      for (const kept of [...configured.values(), ...others.values()]) kept.stop();
    },
  };
}
