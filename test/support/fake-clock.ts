import type { Clock, Instant } from "../../src/system/clock.ts";

export interface FakeClock extends Clock {
  /** Advances both clocks and fires the timers that fall due, in order. */
  readonly advance: (ms: number) => void;
  /** Moves only the wall clock, as an administrator does who sets it. */
  readonly shiftWall: (ms: number) => void;
  /** Moves both clocks and no timer, as a machine does that sleeps: timers count time awake. */
  readonly sleep: (ms: number) => void;
  /** The delays of the armed timers in milliseconds from now, soonest first. */
  readonly armed: () => readonly number[];
  /** Sets the value that `random` returns; initially 0.5, which means no jitter. */
  readonly setRandom: (share: number) => void;
}

/** Creates a clock that stands still until a test advances it. */
export function createFakeClock(startWallMs = Date.UTC(2026, 0, 1)): FakeClock {
  let monotonicMs = 1000;
  let wallMs = startWallMs;
  let share = 0.5;
  const timers = new Set<{ atMs: number; readonly task: () => void }>();
  const inOrder = () => [...timers].sort((a, b) => a.atMs - b.atMs);

  function advance(ms: number): void {
    const untilMs = monotonicMs + ms;
    for (;;) {
      const next = inOrder().find(({ atMs }) => atMs <= untilMs);
      if (next === undefined) break;
      timers.delete(next);
      const stepMs = Math.max(0, next.atMs - monotonicMs);
      monotonicMs += stepMs;
      wallMs += stepMs;
      next.task();
    }
    wallMs += untilMs - monotonicMs;
    monotonicMs = untilMs;
  }

  return {
    now: (): Instant => ({ wallMs, monotonicMs }),
    schedule: (delayMs, task) => {
      const timer = { atMs: monotonicMs + delayMs, task };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    random: () => share,
    advance,
    shiftWall: (ms) => {
      wallMs += ms;
    },
    sleep: (ms) => {
      wallMs += ms;
      monotonicMs += ms;
      for (const timer of timers) timer.atMs += ms;
    },
    armed: () => inOrder().map(({ atMs }) => atMs - monotonicMs),
    setRandom: (next) => {
      share = next;
    },
  };
}
