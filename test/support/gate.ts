/** Holds up whoever passes, until it is opened: a delay whose length the test decides. */
export interface Gate {
  readonly hold: () => void;
  readonly release: () => void;
  /** Resolves at once while the gate is open, else when it opens. */
  readonly pass: () => Promise<void>;
}

/** Makes an open gate. */
export function createGate(): Gate {
  let opened: PromiseWithResolvers<void> | undefined;
  return {
    hold: () => {
      opened ??= Promise.withResolvers();
    },
    release: () => {
      opened?.resolve();
      opened = undefined;
    },
    pass: async () => opened?.promise,
  };
}
