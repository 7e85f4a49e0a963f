import { LRUCache } from "lru-cache";
import PQueue from "p-queue";
import type { Clock } from "./clock.ts";
import { MintError } from "./errors.ts";
import { createKeptToken, type KeptToken, type MintEvents } from "./kept-token.ts";
import type { IdToken } from "./token.ts";

/** One exchange of the credential for an ID token. Rejects with a MintError. */
export type Mint = (audience: string, signal: AbortSignal) => Promise<IdToken>;

export interface TokenSourceOptions {
  readonly mint: Mint;
  /** Always kept warm and never dropped; the first is minted before all others. */
  readonly configured: readonly string[];
  /** How many further audiences are kept; the least recently used goes first. */
  readonly maxAudiences: number;
  /** Share of a token's life after which it is renewed, jittered by 10 %. */
  readonly refreshAt: number;
  /** Bound on one mint, waiting for its turn included. */
  readonly mintTimeoutMs: number;
  readonly clock: Clock;
  readonly events: MintEvents;
}

export interface TokenSource {
  /**
   * The token for an audience: at once while an unexpired one is cached, else as soon as it is
   * minted. Rejects with a MintError, within the mint timeout.
   */
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
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
  /** Ends every timer and every exchange. */
  readonly close: () => void;
}

/** Exchanges at once: enough to warm many audiences soon, few enough to stay polite. */
const MAX_CONCURRENT_MINTS = 8;

/** Creates the token cache over a way to mint. */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { clock, mintTimeoutMs } = options;
  const queue = new PQueue({ concurrency: MAX_CONCURRENT_MINTS });
  const running = new Set<AbortController>();
  const configured = new Map(
    options.configured.map((audience) => [audience, keep(audience, true)]),
  );
  const others = new LRUCache<string, KeptToken>({
    max: options.maxAudiences,
    dispose: (kept) => kept.stop(),
  });

  async function mint(audience: string): Promise<IdToken> {
    const deadline = new AbortController();
    const cancel = clock.schedule(mintTimeoutMs, () =>
      deadline.abort(new MintError("mint_timeout", `no answer within ${mintTimeoutMs} ms`)),
    );
    const { signal } = deadline;
    running.add(deadline);
    try {
      const priority = audience === options.configured[0] ? 1 : 0;
      return await queue.add(() => options.mint(audience, signal), { signal, priority });
    } finally {
      running.delete(deadline);
      cancel();
    }
  }

  function keep(audience: string, always: boolean): KeptToken {
    return createKeptToken({
      ...options,
      audience,
      always,
      mint: () => mint(audience),
      onIdle: () => others.delete(audience),
    });
  }

  return {
    token: (audience) => {
      let kept = configured.get(audience) ?? others.get(audience);
      if (kept === undefined) {
        kept = keep(audience, false);
        others.set(audience, kept);
      }
      return kept.get();
    },
    readiness: () => [...configured].map(([audience, kept]) => ({ audience, ...kept.peek() })),
    size: () => configured.size + others.size,
    start: () => {
      for (const kept of configured.values()) void kept.get();
    },
    close: () => {
      for (const kept of [...configured.values(), ...others.values()]) kept.stop();
      for (const deadline of running) {
        deadline.abort(new MintError("mint_unavailable", "the server is closing"));
      }
    },
  };
}
