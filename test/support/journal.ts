/** What happened, in order, for tests that ask afterwards and tests that wait. */
export interface Journal<T> {
  readonly entries: readonly T[];
  readonly note: (entry: T) => void;
  /** The next entry to be noted. Rejects when the journal closes first. */
  readonly next: () => Promise<T>;
  readonly close: () => void;
}

/** Starts an empty journal. */
export function createJournal<T>(): Journal<T> {
  const entries: T[] = [];
  let upcoming = Promise.withResolvers<T>();
  // A test may ask and then not wait.
  upcoming.promise.catch(() => {});
  return {
    entries,
    note: (entry) => {
      entries.push(entry);
      upcoming.resolve(entry);
      upcoming = Promise.withResolvers();
      upcoming.promise.catch(() => {});
    },
    next: () => upcoming.promise,
    close: () => upcoming.reject(new Error("closed before anything else happened")),
  };
}
