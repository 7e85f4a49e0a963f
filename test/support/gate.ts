/** A barrier for asynchronous code: a delay whose length the test decides. */
export interface Gate {
  readonly close: () => void;
  readonly open: () => void;
  /** Resolves immediately while the gate is open, otherwise as soon as it opens. */
  readonly waitUntilOpen: () => Promise<void>;
}

/** Creates an open gate. */
export function createGate(): Gate {
  let opened: PromiseWithResolvers<void> | undefined;
  return {
    close: () => {
      opened ??= Promise.withResolvers();
    },
    open: () => {
      opened?.resolve();
      opened = undefined;
    },
    waitUntilOpen: async () => opened?.promise,
  };
}
