/** Lines as they come, for tests that ask afterwards and tests that wait. */
export interface LineLog<T> {
  readonly lines: readonly T[];
  readonly push: (line: T) => void;
  /** The first line, past or to come, that fits. Rejects when the log ends without one. */
  readonly line: (fits: (line: T) => boolean) => Promise<T>;
  /** No more lines will come; `why` tells those who wait. */
  readonly end: (why: string) => void;
}

/** Starts an empty log. */
export function createLineLog<T>(): LineLog<T> {
  const lines: T[] = [];
  const waiting = new Set<{ tell: (line: T) => void; fail: (error: Error) => void }>();
  let ended: Error | undefined;

  async function line(fits: (line: T) => boolean): Promise<T> {
    const found = lines.find(fits);
    if (found !== undefined) return found;
    if (ended !== undefined) throw ended;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiter = { tell: (each: T) => fits(each) && resolve(each), fail: reject };
    waiting.add(waiter);
    return promise.finally(() => waiting.delete(waiter));
  }

  return {
    lines,
    line,
    push: (each) => {
      lines.push(each);
      for (const { tell } of waiting) tell(each);
    },
    end: (why) => {
      ended = new Error(why);
      for (const { fail } of waiting) fail(ended);
    },
  };
}
