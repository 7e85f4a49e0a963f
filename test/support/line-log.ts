/** Collects lines, for tests that read them afterwards and tests that wait for one. */
export interface LineLog<T> {
  readonly lines: readonly T[];
  readonly push: (line: T) => void;
  /** The first matching line, past or future. Rejects when the log ends without one. */
  readonly line: (matches: (line: T) => boolean) => Promise<T>;
  /** Ends the log; `reason` becomes the error of everyone still waiting. */
  readonly end: (reason: string) => void;
}

/** Starts an empty log. */
export function createLineLog<T>(): LineLog<T> {
  const lines: T[] = [];
  const waiters = new Set<{ offer: (line: T) => void; fail: (error: Error) => void }>();
  let ended: Error | undefined;

  async function line(matches: (line: T) => boolean): Promise<T> {
    const found = lines.find(matches);
    if (found !== undefined) return found;
    if (ended !== undefined) throw ended;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiter = { offer: (each: T) => matches(each) && resolve(each), fail: reject };
    waiters.add(waiter);
    return promise.finally(() => waiters.delete(waiter));
  }

  return {
    lines,
    line,
    push: (each) => {
      lines.push(each);
      for (const { offer } of waiters) offer(each);
    },
    end: (reason) => {
      ended = new Error(reason);
      for (const { fail } of waiters) fail(ended);
    },
  };
}
