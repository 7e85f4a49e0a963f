export interface FairTurns {
  /**
   * Asks whether some work for a caller may go on. Undefined if it may immediately; otherwise a
   * promise that resolves in a later turn of the event loop. A caller's work keeps its order.
   */
  readonly take: (caller: string) => Promise<void> | undefined;
  /** Whether so much work for the caller waits that more should be refused. */
  readonly isFull: (caller: string) => boolean;
}

/** Few enough for a turn of a millisecond at most, enough to spread the cost of a turn. */
const MAX_PER_TURN = 8;
/** A check that waits takes 12 kB with its HTTP/2 stream, so that these take 60 MB. */
const MAX_WAITING = 5000;

interface Caller {
  /** How much of its work has gone on in this turn. */
  taken: number;
  /** What waits, the oldest first. */
  readonly waiting: (() => void)[];
}

/**
 * Limits how much work for each caller goes on in one turn of the event loop. A flood of one caller,
 * however many connections and streams it has, then delays another caller's request by one such
 * turn and not by the whole flood.
 */
export function createFairTurns(
  nextTurn: (begin: () => void) => void = (begin) => void setImmediate(begin),
): FairTurns {
  /** Those that took part in this turn or wait for the next one. */
  const callers = new Map<string, Caller>();

  function beginTurn(): void {
    for (const [name, caller] of callers) {
      const released = caller.waiting.splice(0, MAX_PER_TURN);
      caller.taken = released.length;
      if (caller.taken === 0) callers.delete(name);
      for (const goOn of released) goOn();
    }
    if (callers.size > 0) nextTurn(beginTurn);
  }

  function enter(name: string): Caller {
    const caller: Caller = { taken: 0, waiting: [] };
    if (callers.size === 0) nextTurn(beginTurn);
    callers.set(name, caller);
    return caller;
  }

  return {
    take: (name) => {
      const caller = callers.get(name) ?? enter(name);
      if (caller.taken < MAX_PER_TURN) {
        caller.taken += 1;
        return undefined;
      }
      return new Promise((goOn) => caller.waiting.push(goOn));
    },
    isFull: (name) => (callers.get(name)?.waiting.length ?? 0) >= MAX_WAITING,
  };
}
