import { elapsedMs, type Clock, type Instant } from "./clock.ts";
import type { MintError } from "./errors.ts";
import { retryPauseMs } from "./retry.ts";

/** What is remembered of credentials that were refused as such, whatever the audience. */
export interface Refusals<Credential> {
  /**
   * The refusal that still holds, if any. Once its pause is over, whoever asks first is told of
   * none and may try; for the others it holds meanwhile.
   */
  readonly holding: (credential: Credential) => MintError | undefined;
  readonly remember: (credential: Credential, error: MintError) => void;
  readonly forget: (credential: Credential) => void;
}

/** Creates an empty memory. Each refusal in a row holds longer than the one before. */
export function createRefusals<Credential extends WeakKey>(clock: Clock): Refusals<Credential> {
  const refusals = new WeakMap<Credential, Refusal>();

  function isHolding({ at, pauseMs }: Refusal): boolean {
    return elapsedMs(at, clock.now()) < pauseMs;
  }

  return {
    holding: (credential) => {
      const known = refusals.get(credential);
      if (known === undefined) return undefined;
      if (isHolding(known)) return known.error;
      known.at = clock.now();
      known.isTried = true;
      return undefined;
    },
    remember: (credential, error) => {
      const known = refusals.get(credential);
      // One of several that were on their way at once.
      if (known !== undefined && !known.isTried && isHolding(known)) return;
      const count = (known?.count ?? 0) + 1;
      const pauseMs = retryPauseMs(error, count, false, clock.random());
      refusals.set(credential, { error, count, pauseMs, at: clock.now(), isTried: false });
    },
    forget: (credential) => void refusals.delete(credential),
  };
}

interface Refusal {
  readonly error: MintError;
  /** Refusals in a row. */
  readonly count: number;
  readonly pauseMs: number;
  at: Instant;
  /** Somebody is trying again. */
  isTried: boolean;
}
