import { performance } from "node:perf_hooks";

/**
 * A moment on both clocks, in milliseconds. The monotonic clock stands still while the machine
 * sleeps and the wall clock can be set, so that only the two together tell how old a thing is.
 */
export interface Instant {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export interface Clock {
  readonly now: () => Instant;
  /** Calls `task` once after `delayMs`, without keeping the process alive; returns its cancel. */
  readonly schedule: (delayMs: number, task: () => void) => () => void;
  /** A share in [0, 1), for jitter. */
  readonly random: () => number;
}

/** The longest delay that a Node timer takes; longer ones would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => ({ wallMs: Date.now(), monotonicMs: performance.now() }),
  schedule: (delayMs, task) => {
    const timer = setTimeout(task, Math.min(delayMs, MAX_DELAY_MS)).unref();
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** How long ago `then` was by the clock that says longest; never negative. */
export function elapsedMs(then: Instant, now: Instant): number {
  return Math.max(now.wallMs - then.wallMs, now.monotonicMs - then.monotonicMs, 0);
}
