import type { MintError } from "../system/errors.ts";

/** Pauses double from the first to the last of their kind. */
const FIRST_MS = 1000;
/** A valid token is being served: nobody waits. */
const LAST_WHILE_SERVING_MS = 60_000;
/** The credential was refused: only a person can change that. */
const LAST_PERMANENT_MS = 30_000;
/** Checks are failing for a reason that may pass: be there soon after it has. */
const LAST_PASSING_MS = 5000;
/** A `Retry-After` beyond this is more likely a mistake than a wish. */
const LONGEST_RETRY_AFTER_MS = 300_000;
const JITTER = 0.1;

/**
 * How long to leave the token endpoint alone after the `failures`-th failure in a row (from 1),
 * in milliseconds: doubling, jittered by 10 % with `random` in [0, 1), and never before the
 * endpoint's own `Retry-After`. `leftMs` says how long an unexpired token is served meanwhile:
 * a pause that is long because of it does not outlast it.
 */
export function retryPauseMs(
  error: MintError,
  failures: number,
  leftMs: number,
  random: number,
): number {
  const pauseUpTo = (lastMs: number) => {
    const pauseMs = Math.min(FIRST_MS * 2 ** Math.min(failures - 1, 10), lastMs);
    const asked = Math.min(error.retryAfterMs, LONGEST_RETRY_AFTER_MS);
    return Math.max(pauseMs * jitter(random), asked);
  };
  const withoutToken = pauseUpTo(error.permanent ? LAST_PERMANENT_MS : LAST_PASSING_MS);
  return Math.min(pauseUpTo(LAST_WHILE_SERVING_MS), Math.max(leftMs, withoutToken));
}

/** A factor within 10 % of 1, for `random` in [0, 1). */
export function jitter(random: number): number {
  return 1 - JITTER + 2 * JITTER * random;
}
