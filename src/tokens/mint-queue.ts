import PQueue from "p-queue";
import { elapsedMs, type Clock } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import { createRefusals } from "./refusals.ts";
import { clockSkewMs, type IdToken } from "./id-token.ts";

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
  /** How far the local clock is ahead of the issuer's, in milliseconds, where an answer told. */
  readonly clockCompared: (skewMs: number) => void;
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
  /** How many mints may wait for their turn, beside the first audience's; more fail at once. */
  readonly maxWaiting: number;
  readonly clock: Clock;
  readonly events: MintEvents;
}

/** Exchanges at once: enough to warm many audiences soon, few enough to stay polite. */
const MAX_CONCURRENT_MINTS = 8;
/** What a change of the account mints ahead of need gives way to what somebody waits for. */
const PRIORITY = { first: 2, usual: 1, swap: 0 };
/** How long an audience that found no place in the queue keeps away from it. */
const OVERLOADED_MS = 1000;

/** Creates the one place where exchanges are made, a few at a time, each bounded and told of. */
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
    if (queue.size >= options.maxWaiting && audience !== options.first) throw overloaded();
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
    const holding = refusals.holding(mint);
    if (holding !== undefined) throw holding;
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
      if (!closed) tellOfToken(token, reason, durationMs());
      return token;
    } catch (error) {
      // A refusal that holds was told of when it came.
      if (error instanceof MintError && error.holdsForMs === undefined && !closed) {
        events.mintFailed({ audience, reason, error, durationMs: durationMs() });
        const { issuerNowMs } = error;
        if (issuerNowMs !== undefined) events.clockCompared(startedAt.wallMs - issuerNowMs);
      }
      throw error;
    }
  }

  function tellOfToken(token: IdToken, reason: MintReason, durationMs: number): void {
    events.minted({ token, reason, durationMs });
    events.clockCompared(clockSkewMs(token));
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

function overloaded(): MintError {
  const message = "too many audiences wait for their tokens";
  return new MintError("mint_unavailable", message, { holdsForMs: OVERLOADED_MS });
}
