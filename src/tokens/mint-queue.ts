import { elapsedMs, type Clock, type Instant } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import { createFairTurns } from "../system/fair-turns.ts";
import type { IdToken } from "./id-token.ts";
import { createMintSlots, type Slot } from "./mint-slots.ts";
import { MintNotAttempted } from "./not-attempted.ts";
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
  /** Whether a mint for an audience that is not configured may wait for its turn. */
  readonly hasRoom: (caller: string) => boolean;
  /** Says that another caller waits for this mint, too: it runs when it is the turn of either. */
  readonly join: (mint: Mint, audience: string, caller: string) => void;
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

/** Mints that verify a new credential come after those that a check waits for. */
const PRIORITY = { cold: 1, renewal: 1, swap: 0 };
/** Beyond this share of its timeout, a mint that has been waiting has no time left for an answer. */
const MAX_WAIT = 0.95;

interface MintRequest {
  readonly audience: string;
  readonly reason: MintReason;
  /** Empty if callers are not told apart. */
  readonly caller: string;
  readonly startedAt: Instant;
}

/** Creates the queue that all mints go through: it limits, times and reports them. */
export function createMintQueue(options: MintQueueOptions): MintQueue {
  const { clock, events, mintTimeoutMs } = options;
  const slots = createMintSlots(options.maxWaiting);
  const running = new WeakMap<Mint, Map<string, Slot<IdToken>>>();
  const open = new Set<AbortController>();
  const refusals = createRefusals<Mint>(clock);
  const turns = createFairTurns();
  let closed = false;
  const timeout = () => new MintError("mint_timeout", `no answer within ${mintTimeoutMs} ms`);

  /** Runs a mint when it is its turn, unless the signal is aborted first. */
  async function runInSlot(
    mint: Mint,
    { audience, reason, caller, startedAt }: MintRequest,
    signal: AbortSignal,
  ): Promise<IdToken> {
    const ofMint = running.get(mint) ?? new Map<string, Slot<IdToken>>();
    running.set(mint, ofMint);
    const start = async () => {
      if (elapsedMs(startedAt, clock.now()) > mintTimeoutMs * MAX_WAIT) {
        await turns.take(caller);
        throw timeout();
      }
      return exchange(mint, audience, signal);
    };
    const slot = slots.run(start, {
      isConfigured: options.configured.has(audience),
      caller,
      priority: PRIORITY[reason],
      signal,
    });
    ofMint.set(audience, slot);
    try {
      return await slot.result;
    } finally {
      if (ofMint.get(audience) === slot) ofMint.delete(audience);
    }
  }

  async function runInTime(mint: Mint, request: MintRequest): Promise<IdToken> {
    const deadline = new AbortController();
    const { signal } = deadline;
    const abort = () => deadline.abort(timeout());
    // A flood that began in one moment would also end in one.
    const expire = () => void (turns.take(request.caller)?.then(abort) ?? abort());
    const cancel = clock.schedule(mintTimeoutMs, expire);
    open.add(deadline);
    try {
      return await runInSlot(mint, request, signal);
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
      const token = await runInTime(mint, { audience, reason, caller, startedAt });
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
    hasRoom: slots.hasRoom,
    join: (mint, audience, caller) => running.get(mint)?.get(audience)?.join(caller),
    close: () => {
      closed = true;
      for (const deadline of open) {
        deadline.abort(new MintError("mint_unavailable", "the server is shutting down"));
      }
    },
  };
}
