/** Which audiences each caller has used, so that each caller has a limit of its own. */
export interface RecentAudiences {
  readonly use: (audience: string, caller: string) => void;
  /** Drops the least recently used audiences of each caller that has more than the maximum. */
  readonly trim: () => void;
  /** Drops an audience for every caller. */
  readonly drop: (audience: string) => void;
}

export interface RecentAudiencesOptions {
  /** Audiences per caller. */
  readonly max: number;
  /** Audiences that must not be dropped now; a caller may exceed its maximum by these. */
  readonly isPinned: (audience: string) => boolean;
  /** Called when no caller has the audience any more. */
  readonly onDropped: (audience: string) => void;
}

/** Creates an empty record. */
export function createRecentAudiences(options: RecentAudiencesOptions): RecentAudiences {
  const { max, isPinned, onDropped } = options;
  /** By caller; the least recently used audience is the first. */
  const used = new Map<string, Set<string>>();

  function trimOne(audiences: Set<string>): void {
    for (const audience of audiences) {
      if (audiences.size <= max) return;
      if (isPinned(audience)) continue;
      audiences.delete(audience);
      if (![...used.values()].some((others) => others.has(audience))) onDropped(audience);
    }
  }

  return {
    use: (audience, caller) => {
      const audiences = used.get(caller) ?? new Set();
      audiences.delete(audience);
      used.set(caller, audiences.add(audience));
    },
    trim: () => {
      for (const audiences of used.values()) trimOne(audiences);
    },
    drop: (audience) => {
      for (const audiences of used.values()) audiences.delete(audience);
      onDropped(audience);
    },
  };
}
