import PQueue from "p-queue";
import { elapsedMs, type Clock } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import type { IdToken } from "./id-token.ts";
import { MintNotAttempted, MintQueueFull } from "./not-attempted.ts";
import { createRefusals } from "./refusals.ts";

/** Exchanges a credential for an ID token, once. Rejects with a MintError. */
export type Mint = (audience: string, signal: AbortSignal) => Promise<IdToken>;

/**
 * Why a token is minted: there was no valid one (`cold`), the valid one was due (`renewal`), or a
 * new credential was verified (`swap`). The metrics and the log use these names.
 */
export type MintReason = "cold" | "renewal" | "swap";

/** Receives the result of each mint once, however many checks wait for it. */
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
  /** Milliseconds that the local clock is ahead of the issuer's, for answers with a `Date`. */
  readonly clockCompared: (skewMs: number) => void;
}

export interface MintQueue {
  /** Mints one token, when it is its turn. Rejects with a MintError, within the mint timeout. */
  readonly run: (mint: Mint, audience: string, reason: MintReason) => Promise<IdToken>;
  /** Aborts every mint, running or waiting, and reports no further result. */
  readonly close: () => void;
}

export interface MintQueueOptions {
  /** The audience whose mints go before all others. */
  readonly first: string | undefined;
  /** Timeout of one mint in milliseconds, its wait in the queue included. */
  readonly mintTimeoutMs: number;
  /** How many mints may wait for their turn, beside the first audience's; more fail immediately. */
  readonly maxWaiting: number;
  readonly clock: Clock;
  readonly events: MintEvents;
}

/** Enough to warm many audiences soon, few enough for the token endpoint's quotas. */
const MAX_CONCURRENT_MINTS = 8;
/** Mints that verify a new credential come after those that a check waits for. */
const PRIORITY = { first: 2, usual: 1, swap: 0 };

/** Creates the queue that all mints go through: it limits, times and reports them. */
export function createMintQueue(options: MintQueueOptions): MintQueue {
  const { clock, events, mintTimeoutMs } = options;
  const queue = new PQueue({ concurrency: MAX_CONCURRENT_MINTS });
  const open = new Set<AbortController>();
  const refusals = createRefusals<Mint>(clock);
  let closed = false;

  async function runInTime(
    audience: string,
    priority: number,
    task: (signal: AbortSignal) => Promise<IdToken>,
  ): Promise<IdToken> {
    if (queue.size >= options.maxWaiting && audience !== options.first) throw new MintQueueFull();
    const deadline = new AbortController();
    const { signal } = deadline;
    const cancel = clock.schedule(mintTimeoutMs, () =>
      deadline.abort(new MintError("mint_timeout", `no answer within ${mintTimeoutMs} ms`)),
    );
    open.add(deadline);
    try {
      return await queue.add(() => task(signal), { signal, priority });
    } catch (cause) {
      if (cause instanceof MintError) throw cause;
      throw new MintError("mint_unavailable", "the exchange failed unexpectedly", { cause });
    } finally {
      open.delete(deadline);
      cancel();
    }
  }

  async function exchange(mint: Mint, audience: string, signal: AbortSignal): Promise<IdToken> {
    refusals.check(mint);
    try {
      const token = await mint(audience, signal);
      refusals.forget(mint);
      return token;
    } catch (error) {
      if (error instanceof MintError) refusals.remember(mint, error);
      throw error;
    }
  }

  async function run(mint: Mint, audience: string, reason: MintReason): Promise<IdToken> {
    const startedAt = clock.now();
    const durationMs = () => Math.round(elapsedMs(startedAt, clock.now()));
    const usual = reason === "swap" ? PRIORITY.swap : PRIORITY.usual;
    const priority = audience === options.first ? PRIORITY.first : usual;
    try {
      const token = await runInTime(audience, priority, (signal) =>
        exchange(mint, audience, signal),
      );
      if (!closed) {
        events.minted({ token, reason, durationMs: durationMs() });
        events.clockCompared(token.skewMs);
      }
      return token;
    } catch (error) {
      if (error instanceof MintError && !(error instanceof MintNotAttempted) && !closed) {
        events.mintFailed({ audience, reason, error, durationMs: durationMs() });
        const { issuerNowMs } = error;
        if (issuerNowMs !== undefined) events.clockCompared(startedAt.wallMs - issuerNowMs);
      }
      throw error;
    }
  }

  return {
    run,
    close: () => {
      closed = true;
      for (const deadline of open) {
        deadline.abort(new MintError("mint_unavailable", "the server is shutting down"));
      }
    },
  };
}
