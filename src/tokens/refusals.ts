import type { Clock } from "../system/clock.ts";
import type { MintError } from "../system/errors.ts";
import { createBackoff, type Backoff } from "./backoff.ts";
import { BackoffRunning } from "./not-attempted.ts";

/** Refusals of a credential as a whole, whatever the audience. */
export interface Refusals<Credential> {
  /**
   * Throws BackoffRunning while a refusal's backoff runs. Once it is over, one caller may retry;
   * the others still get the refusal for one more pause.
   */
  readonly check: (credential: Credential) => void;
  /** Remembers a failure that concerns the credential or the endpoint, and ignores any other. */
  readonly remember: (credential: Credential, error: MintError) => void;
  /** Ends the refusal, unless the success was of a request sent before it. */
  readonly forget: (credential: Credential) => void;
}

interface Refusal {
  readonly backoff: Backoff;
  isRetrying: boolean;
}

/** Creates an empty memory. Each refusal in a row has a longer pause than the one before. */
export function createRefusals<Credential extends WeakKey>(clock: Clock): Refusals<Credential> {
  const refusals = new WeakMap<Credential, Refusal>();

  return {
    check: (credential) => {
      const known = refusals.get(credential);
      const error = known?.backoff.error();
      if (known === undefined || error === undefined) return;
      const leftMs = known.backoff.leftMs();
      if (leftMs > 0) throw new BackoffRunning(error, leftMs);
      known.backoff.restart();
      known.isRetrying = true;
    },
    remember: (credential, error) => {
      // Retry-After is about the endpoint; other passing failures say nothing of the credential.
      if (!error.ofCredential && error.retryAfterMs === 0) return;
      const known = refusals.get(credential) ?? { backoff: createBackoff(clock), isRetrying: true };
      // Requests that were sent together count as one attempt.
      if (!known.isRetrying && known.backoff.leftMs() > 0) return;
      known.backoff.fail(error, 0);
      refusals.set(credential, { ...known, isRetrying: false });
    },
    forget: (credential) => {
      const known = refusals.get(credential);
      if (known?.isRetrying === true || known?.backoff.leftMs() === 0) refusals.delete(credential);
    },
  };
}
