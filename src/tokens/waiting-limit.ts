import { MintError } from "../system/errors.ts";
import type { IdToken } from "./id-token.ts";

/**
 * Passes a token on, or the promise of one if not too many requests of the caller wait already.
 * Otherwise rejects with a MintError.
 */
export type LimitWaiting = (
  found: IdToken | Promise<IdToken>,
  caller: string | undefined,
) => IdToken | Promise<IdToken>;

/** As many as may wait for a turn of the event loop. */
const MAX_WAITING = 5000;

/** Creates the limit; requests without a caller count as one caller's. */
export function createWaitingLimit(): LimitWaiting {
  const waiting = new Map<string, number>();

  async function wait(minted: Promise<IdToken>, caller: string): Promise<IdToken> {
    const count = waiting.get(caller) ?? 0;
    if (count >= MAX_WAITING) {
      // It rejects for those that wait.
      minted.catch(() => {});
      throw new MintError("mint_unavailable", "too many checks are waiting for a token");
    }
    waiting.set(caller, count + 1);
    try {
      return await minted;
    } finally {
      const left = (waiting.get(caller) ?? 0) - 1;
      if (left > 0) waiting.set(caller, left);
      else waiting.delete(caller);
    }
  }

  return (found, caller = "") => (found instanceof Promise ? wait(found, caller) : found);
}
