/** Which audiences each caller has used, so that each caller has a limit of its own. */
export interface RecentAudiences {
  readonly use: (audience: string, caller: string) => void;
  /**
   * Keeps an audience, for every caller, until the function that it returns is called; it then
   * counts as just used. A caller may exceed its maximum by such audiences.
   */
  readonly pin: (audience: string) => () => void;
  /** Drops an audience for every caller. */
  readonly drop: (audience: string) => void;
}

export interface RecentAudiencesOptions {
  /** Audiences per caller; beyond it the least recently used one is dropped. */
  readonly max: number;
  /** Called when no caller has the audience any more. */
  readonly onDropped: (audience: string) => void;
}

/** A caller's audiences. Pinned ones are apart, so that a flood of them is never searched. */
interface Used {
  /** The least recently used one is the first. */
  readonly idle: Set<string>;
  readonly pinned: Set<string>;
}

/** Creates an empty record. */
export function createRecentAudiences({ max, onDropped }: RecentAudiencesOptions): RecentAudiences {
  const callers = new Map<string, Used>();
  /** How often each pinned audience is pinned. */
  const pins = new Map<string, number>();
  const isUsed = (audience: string) =>
    callers.values().some(({ idle, pinned }) => idle.has(audience) || pinned.has(audience));

  function trim({ idle, pinned }: Used): void {
    for (const audience of idle) {
      if (idle.size + pinned.size <= max) return;
      idle.delete(audience);
      if (!isUsed(audience)) onDropped(audience);
    }
  }

  function move(audience: string, from: keyof Used, to: keyof Used): void {
    for (const used of callers.values()) {
      if (!used[from].delete(audience)) continue;
      used[to].add(audience);
      trim(used);
    }
  }

  function unpin(audience: string): void {
    const left = (pins.get(audience) ?? 0) - 1;
    if (left > 0) pins.set(audience, left);
    else {
      pins.delete(audience);
      move(audience, "pinned", "idle");
    }
  }

  return {
    use: (audience, caller) => {
      const used = callers.get(caller) ?? { idle: new Set(), pinned: new Set() };
      callers.set(caller, used);
      used.idle.delete(audience);
      used[pins.has(audience) ? "pinned" : "idle"].add(audience);
    },
    pin: (audience) => {
      pins.set(audience, (pins.get(audience) ?? 0) + 1);
      move(audience, "idle", "pinned");
      return () => unpin(audience);
    },
    drop: (audience) => {
      for (const { idle, pinned } of callers.values()) {
        idle.delete(audience);
        pinned.delete(audience);
      }
      onDropped(audience);
    },
  };
}
