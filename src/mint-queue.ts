import PQueue from "p-queue";
import { elapsedMs, type Clock } from "./clock.ts";
import { MintError } from "./errors.ts";
import type { IdToken } from "./token.ts";

/** One exchange of a credential for an ID token. Rejects with a MintError. */
export type Mint = (audience: string, signal: AbortSignal) => Promise<IdToken>;

/**
 * Why a mint was made: there was no valid token, or the one there was due for renewal, or a new
 * credential was tried.
 */
export type MintReason = "cold" | "renewal" | "swap";

/** What is told of each mint, once, however many checks wait for it. */
export interface MintEvents {
  readonly minted: (mint: {
    readonly token: IdToken;
    readonly reason: MintReason;
    readonly durationMs: number;
  }) => void;
  readonly mintFailed: (mint: {
    readonly audience: string;
    readonly reason: MintReason;
    readonly error: MintError;
    readonly durationMs: number;
  }) => void;
}

export interface MintQueue {
  /** Runs one exchange when it is its turn. Rejects with a MintError, in time in any case. */
  readonly run: (mint: Mint, audience: string, reason: MintReason) => Promise<IdToken>;
  /** Ends every exchange, running or waiting, and tells no more of any. */
  readonly close: () => void;
}

export interface MintQueueOptions {
  /** The audience whose mints go before all others. */
  readonly first: string | undefined;
  /** Bound on one mint from when it is asked for, waiting for its turn included. */
  readonly mintTimeoutMs: number;
  readonly clock: Clock;
  readonly events: MintEvents;
}

/** Exchanges at once: enough to warm many audiences soon, few enough to stay polite. */
const MAX_CONCURRENT_MINTS = 8;

/** Creates the one place where exchanges are made, a few at a time, each bounded and told of. */
export function createMintQueue(options: MintQueueOptions): MintQueue {
  const { clock, events, mintTimeoutMs } = options;
  const queue = new PQueue({ concurrency: MAX_CONCURRENT_MINTS });
  const open = new Set<AbortController>();
  let closed = false;

  async function runInTime(mint: Mint, audience: string): Promise<IdToken> {
    const deadline = new AbortController();
    const { signal } = deadline;
    const cancel = clock.schedule(mintTimeoutMs, () =>
      deadline.abort(new MintError("mint_timeout", `no answer within ${mintTimeoutMs} ms`)),
    );
    open.add(deadline);
    try {
      const priority = audience === options.first ? 1 : 0;
      return await queue.add(() => mint(audience, signal), { signal, priority });
    } catch (cause) {
      if (cause instanceof MintError) throw cause;
      throw new MintError("mint_unavailable", "the exchange failed unexpectedly", { cause });
    } finally {
      open.delete(deadline);
      cancel();
    }
  }

  async function run(mint: Mint, audience: string, reason: MintReason): Promise<IdToken> {
    const startedAt = clock.now();
    const durationMs = () => Math.round(elapsedMs(startedAt, clock.now()));
    try {
      const token = await runInTime(mint, audience);
      if (!closed) events.minted({ token, reason, durationMs: durationMs() });
      return token;
    } catch (error) {
      if (!closed && error instanceof MintError) {
        events.mintFailed({ audience, reason, error, durationMs: durationMs() });
      }
      throw error;
    }
  }

  return {
    run,
    close: () => {
      closed = true;
      for (const deadline of open) {
        deadline.abort(new MintError("mint_unavailable", "the server is closing"));
      }
    },
  };
}
