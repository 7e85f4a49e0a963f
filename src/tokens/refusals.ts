import { elapsedMs, type Clock, type Instant } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import { retryPauseMs } from "./backoff.ts";

/** What is remembered of refusals that hold for a credential, whatever the audience. */
export interface Refusals<Credential> {
  /**
   * The refusal that still holds, if any, with the time that it will. Once that is over, whoever
   * asks first is told of none and may try; for the others it holds meanwhile.
   */
  readonly holding: (credential: Credential) => MintError | undefined;
  /** Remembers an error that holds beyond its audience, and no other. */
  readonly remember: (credential: Credential, error: MintError) => void;
  readonly forget: (credential: Credential) => void;
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

/** Creates an empty memory. Each refusal in a row holds longer than the one before. */
export function createRefusals<Credential extends WeakKey>(clock: Clock): Refusals<Credential> {
  const refusals = new WeakMap<Credential, Refusal>();

  function leftMs({ at, pauseMs }: Refusal): number {
    return pauseMs - elapsedMs(at, clock.now());
  }

  return {
    holding: (credential) => {
      const known = refusals.get(credential);
      if (known === undefined) return undefined;
      const holdsForMs = Math.ceil(leftMs(known));
      const { code, message } = known.error;
      if (holdsForMs > 0) return new MintError(code, message, { holdsForMs });
      known.at = clock.now();
      known.isTried = true;
      return undefined;
    },
    remember: (credential, error) => {
      // A Retry-After speaks of the endpoint.
      if (!error.ofCredential && error.retryAfterMs === 0) return;
      const known = refusals.get(credential);
      // One of several that were on their way at once.
      if (known !== undefined && !known.isTried && leftMs(known) > 0) return;
      const count = (known?.count ?? 0) + 1;
      const pauseMs = retryPauseMs(error, count, 0, clock.random());
      refusals.set(credential, { error, count, pauseMs, at: clock.now(), isTried: false });
    },
    forget: (credential) => void refusals.delete(credential),
  };
}
