import { uptime } from "node:os";
import { performance } from "node:perf_hooks";

/**
 * A moment on two clocks, in milliseconds. The monotonic clock cannot be set and counts the time
 * that the machine sleeps, but stands still while a virtual machine is paused. The wall clock is
 * right after such a pause, but can be set to any time. See docs/decisions/two-clocks.md.
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

/** The longest delay that a Node timer accepts; it would fire immediately after a longer one. */
const MAX_DELAY_MS = 2 ** 31 - 1;
/** How often the time asleep is measured. It takes a read of /proc, too slow for every check. */
const MEASURE_EVERY_MS = 1000;
/** Less than this is the resolution of the uptime, not sleep. */
const MIN_SLEEP_MS = 100;

/** The time sources of `createSleepClock`, in milliseconds. */
export interface TimeSources {
  readonly wallMs: () => number;
  /** Monotonic; need not count sleep. */
  readonly awakeMs: () => number;
  /** Monotonic and counts sleep; may be coarse and slow to read. */
  readonly uptimeMs: () => number;
}

/**
 * Creates a function that returns both clocks, the monotonic one with the time asleep. Sleep shows
 * within a second, and immediately where the wall clock shows it.
 */
export function createSleepClock({ wallMs, awakeMs, uptimeMs }: TimeSources): () => Instant {
  const startMs = uptimeMs() - awakeMs();
  let asleepMs = 0;
  let measuredAt = { wallMs: wallMs(), awakeMs: awakeMs() };

  function measure(now: typeof measuredAt): void {
    measuredAt = now;
    const sinceStartMs = uptimeMs() - now.awakeMs - startMs;
    if (sinceStartMs - asleepMs >= MIN_SLEEP_MS) asleepMs = sinceStartMs;
  }

  return () => {
    const now = { wallMs: wallMs(), awakeMs: awakeMs() };
    const sinceMs = Math.max(now.wallMs - measuredAt.wallMs, now.awakeMs - measuredAt.awakeMs);
    if (sinceMs >= MEASURE_EVERY_MS) measure(now);
    return { wallMs: now.wallMs, monotonicMs: now.awakeMs + asleepMs };
  };
}

/** Linux keeps the two apart (CLOCK_MONOTONIC and CLOCK_BOOTTIME); macOS counts sleep in both. */
const uptimeMs = process.platform === "linux" ? () => uptime() * 1000 : () => performance.now();

export const systemClock: Clock = {
  now: createSleepClock({ wallMs: () => Date.now(), awakeMs: () => performance.now(), uptimeMs }),
  schedule: (delayMs, task) => {
    const timer = setTimeout(task, Math.min(delayMs, MAX_DELAY_MS)).unref();
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** Milliseconds from `then` to `now` by the monotonic clock. */
export function elapsedMs(then: Instant, now: Instant): number {
  return now.monotonicMs - then.monotonicMs;
}

/** The larger of wall-clock and monotonic elapsed time in milliseconds; never negative. */
export function longestElapsedMs(then: Instant, now: Instant): number {
  return Math.max(now.wallMs - then.wallMs, elapsedMs(then, now), 0);
}
