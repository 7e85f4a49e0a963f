import { elapsedMs, type Clock, type Instant } from "../system/clock.ts";
import type { MintError } from "../system/errors.ts";
import { MintNotAttempted } from "./not-attempted.ts";

/** Pauses double from here, up to one of the limits below. */
const FIRST_MS = 1000;
/** A valid token is being served: nobody is waiting. */
const MAX_WHILE_SERVING_MS = 60_000;
/** The credential was refused: only a person can change that. */
const MAX_REFUSED_MS = 30_000;
/** Checks are failing for a reason that may pass: retry soon after it has. */
const MAX_TRANSIENT_MS = 5000;
/** A longer `Retry-After` is more likely a mistake than a request. */
const MAX_RETRY_AFTER_MS = 300_000;
const JITTER = 0.1;

/** The pauses between failed attempts at one thing. */
export interface Backoff {
  /** The last failure since the last success. */
  readonly error: () => MintError | undefined;
  /** Milliseconds until the next attempt may start; 0 if it may start now. */
  readonly leftMs: () => number;
  /**
   * Records a failed attempt and returns the pause before the next one, in milliseconds.
   * `servedMs` is how long an unexpired token can still be served meanwhile. An attempt that sent
   * no request is not counted; the pause is the one that its error names.
   */
  readonly fail: (error: MintError, servedMs: number) => number;
  /** Starts the same pause again, for everyone but the one caller that retries now. */
  readonly restart: () => void;
  /** Forgets every failure. */
  readonly reset: () => void;
}

/** Creates a backoff without failures. */
export function createBackoff(clock: Clock): Backoff {
  let last: { readonly error: MintError; readonly pauseMs: number; at: Instant } | undefined;
  let failures = 0;

  return {
    error: () => last?.error,
    leftMs: () =>
      last === undefined ? 0 : Math.max(0, last.pauseMs - elapsedMs(last.at, clock.now())),
    fail: (error, servedMs) => {
      const isAttempt = !(error instanceof MintNotAttempted);
      if (isAttempt) failures += 1;
      const pauseMs = isAttempt
        ? retryPauseMs(error, failures, servedMs, clock.random())
        : error.retryInMs;
      last = { error, pauseMs, at: clock.now() };
      return pauseMs;
    },
    restart: () => {
      if (last !== undefined) last.at = clock.now();
    },
    reset: () => {
      last = undefined;
      failures = 0;
    },
  };
}

/**
 * The pause after the `failures`-th failure in a row (from 1), in milliseconds: doubling, jittered
 * by 10 % with `random` in [0, 1), and never shorter than the endpoint's `Retry-After`, up to five
 * minutes of it. `servedMs` is how long an unexpired token can still be served meanwhile: a pause
 * that is long for that reason ends with the token.
 */
export function retryPauseMs(
  error: MintError,
  failures: number,
  servedMs: number,
  random: number,
): number {
  const pauseUpTo = (maxMs: number) => {
    const pauseMs = Math.min(FIRST_MS * 2 ** Math.min(failures - 1, 10), maxMs);
    const askedMs = Math.min(error.retryAfterMs, MAX_RETRY_AFTER_MS);
    return Math.max(pauseMs * jitter(random), askedMs);
  };
  const withoutToken = pauseUpTo(error.permanent ? MAX_REFUSED_MS : MAX_TRANSIENT_MS);
  return Math.min(pauseUpTo(MAX_WHILE_SERVING_MS), Math.max(servedMs, withoutToken));
}

/** A factor within 10 % of 1, for `random` in [0, 1). */
export function jitter(random: number): number {
  return 1 - JITTER + 2 * JITTER * random;
}
