/**
 * Asks for a turn in the name of a caller. Undefined if it may go on immediately; otherwise a
 * promise that resolves in a later turn of the event loop. A caller's requests keep their order.
 */
export type TakeTurn = (caller: string) => Promise<void> | undefined;

/** Few enough for a turn of well under a millisecond, enough to spread the cost of a turn. */
const MAX_PER_TURN = 16;

interface Caller {
  /** How many of its requests have gone on in this turn. */
  taken: number;
  /** Those that wait, the oldest first. */
  readonly waiting: (() => void)[];
}

/**
 * Limits how many requests of each caller go on in one turn of the event loop. A flood of one
 * caller, however many connections and streams it has, then delays another caller's request by one
 * such turn and not by the whole flood.
 */
export function createFairTurns(
  nextTurn: (begin: () => void) => void = (begin) => void setImmediate(begin),
): TakeTurn {
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

  return (name) => {
    const caller = callers.get(name) ?? enter(name);
    if (caller.taken < MAX_PER_TURN) {
      caller.taken += 1;
      return undefined;
    }
    return new Promise((goOn) => caller.waiting.push(goOn));
  };
}
