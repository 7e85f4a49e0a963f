/** Events in order, for tests that look back and tests that wait for the next one. */
export interface Journal<T> {
  readonly entries: readonly T[];
  readonly record: (entry: T) => void;
  /** Resolves with the next entry to be recorded; rejects if the journal closes first. */
  readonly next: () => Promise<T>;
  readonly close: () => void;
}

/** Creates an empty journal. */
export function createJournal<T>(): Journal<T> {
  const entries: T[] = [];
  let upcoming = Promise.withResolvers<T>();
  // A test may call next() and never await it.
  upcoming.promise.catch(() => {});
  return {
    entries,
    record: (entry) => {
      entries.push(entry);
      upcoming.resolve(entry);
      upcoming = Promise.withResolvers();
      upcoming.promise.catch(() => {});
    },
    next: () => upcoming.promise,
    close: () => upcoming.reject(new Error("closed before anything else happened")),
  };
}
