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
  /**
   * Mints one token, when it is its turn. Rejects with a MintError, within the mint timeout. The
   * mints of a caller that is named leave slots to those of others.
   */
  readonly run: (
    mint: Mint,
    audience: string,
    reason: MintReason,
    caller?: string,
  ) => Promise<IdToken>;
  /** Aborts every mint, running or waiting, and reports no further result. */
  readonly close: () => void;
}

export interface MintQueueOptions {
  /** Audiences whose mints go before all others and always find a place in the queue. */
  readonly configured: ReadonlySet<string>;
  /** Timeout of one mint in milliseconds, its wait in the queue included. */
  readonly mintTimeoutMs: number;
  /** How many mints of other audiences may wait for their turn, per caller; more fail immediately. */
  readonly maxWaiting: number;
  readonly clock: Clock;
  readonly events: MintEvents;
}

/** Enough to warm many audiences soon, few enough for the token endpoint's quotas. */
const MAX_CONCURRENT_MINTS = 8;
/** A flood of other audiences leaves the rest to the configured ones. */
const MAX_CONCURRENT_OTHERS = 6;
/** If callers are told apart, a flood of one leaves the rest to the other callers. */
const MAX_CONCURRENT_PER_CALLER = 2;
/** Mints that verify a new credential come after those that a check waits for. */
const PRIORITY = { cold: 1, renewal: 1, swap: 0 };
/** Before all mints of other audiences. */
const CONFIGURED_PRIORITY = 2;

interface MintRequest {
  readonly audience: string;
  readonly reason: MintReason;
  /** Empty if callers are not told apart. */
  readonly caller: string;
}

/** Creates the queue that all mints go through: it limits, times and reports them. */
export function createMintQueue(options: MintQueueOptions): MintQueue {
  const { clock, events, mintTimeoutMs } = options;
  const slots = new PQueue({ concurrency: MAX_CONCURRENT_MINTS });
  const others = new PQueue({ concurrency: MAX_CONCURRENT_OTHERS });
  const byCaller = new Map<string, PQueue>();
  const open = new Set<AbortController>();
  const refusals = createRefusals<Mint>(clock);
  let closed = false;

  /** Runs a mint when it is its turn, unless the signal is aborted first. */
  function enqueue(
    { audience, reason, caller }: MintRequest,
    signal: AbortSignal,
    task: () => Promise<IdToken>,
  ): Promise<IdToken> {
    const priority = PRIORITY[reason];
    if (options.configured.has(audience)) {
      return slots.add(task, { signal, priority: CONFIGURED_PRIORITY + priority });
    }
    const first = caller === "" ? others : queueOf(caller);
    if (first.size >= options.maxWaiting) throw new MintQueueFull();
    const how = { signal, priority };
    const inSlot = () => slots.add(task, how);
    return first.add(first === others ? inSlot : () => others.add(inSlot, how), how);
  }

  function queueOf(caller: string): PQueue {
    const queue = byCaller.get(caller) ?? new PQueue({ concurrency: MAX_CONCURRENT_PER_CALLER });
    byCaller.set(caller, queue);
    return queue;
  }

  async function runInTime(mint: Mint, request: MintRequest): Promise<IdToken> {
    const deadline = new AbortController();
    const { signal } = deadline;
    const cancel = clock.schedule(mintTimeoutMs, () =>
      deadline.abort(new MintError("mint_timeout", `no answer within ${mintTimeoutMs} ms`)),
    );
    open.add(deadline);
    try {
      return await enqueue(request, signal, () => exchange(mint, request.audience, signal));
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

  async function run(
    mint: Mint,
    audience: string,
    reason: MintReason,
    caller = "",
  ): Promise<IdToken> {
    const startedAt = clock.now();
    const durationMs = () => Math.round(elapsedMs(startedAt, clock.now()));
    try {
      const token = await runInTime(mint, { audience, reason, caller });
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
