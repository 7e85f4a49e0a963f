import { elapsedMs, type Clock, type Instant } from "../system/clock.ts";
import type { MintError } from "../system/errors.ts";
import type { MintReason } from "./mint-queue.ts";
import { jitter, retryPauseMs } from "./backoff.ts";
import { freshness, latestPushShare, type IdToken } from "./id-token.ts";

export interface CachedTokenOptions {
  /** Renewed for ever, or else only while it is used. */
  readonly always: boolean;
  /** One exchange, bounded in time. Rejects with a MintError. */
  readonly mint: (reason: MintReason) => Promise<IdToken>;
  /** A token to begin with. */
  readonly seed: IdToken | undefined;
  /** Share of a token's life after which it is renewed, jittered by 10 %. */
  readonly refreshAt: number;
  readonly clock: Clock;
  /** Called when nobody has used the token for a full life, instead of a renewal. */
  readonly onIdle: () => void;
}

/** The token of one audience, kept valid. */
export interface CachedToken {
  /** The token: at once while it is unexpired, else once minted. Rejects with a MintError. */
  readonly get: () => IdToken | Promise<IdToken>;
  /** Renews the token early enough, from now on, for a holder that asks only now and then. */
  readonly keepForPush: () => void;
  /** The unexpired token if there is one, and the last failure since the last success. */
  readonly peek: () => {
    readonly token: IdToken | undefined;
    readonly error: MintError | undefined;
  };
  /** Forgets past failures, which a new key may have ended. */
  readonly forgive: () => void;
  /**
   * Ends the renewal. Whoever waits for a mint is given the successor's token instead, if there is
   * a successor.
   */
  readonly stop: (successor?: () => IdToken | Promise<IdToken>) => void;
}

/**
 * Keeps one audience's token: one exchange at a time, renewal ahead of expiry, the old token
 * served while it is valid, and after a failure no exchange until its pause is over.
 */
export function createCachedToken(options: CachedTokenOptions): CachedToken {
  const { always, clock } = options;
  let token: IdToken | undefined;
  let dueAt = options.refreshAt;
  let pushed = false;
  let pending: PromiseWithResolvers<IdToken> | undefined;
  let failure: { error: MintError; count: number; at: Instant; pauseMs: number } | undefined;
  let usedAt = clock.now();
  let cancelTimer = () => {};
  let stopped = false;
  let handedOver = false;
  if (options.seed !== undefined) adopt(options.seed);

  function get(): IdToken | Promise<IdToken> {
    const now = clock.now();
    usedAt = now;
    const state = token === undefined ? "expired" : freshness(token, now, dueAt);
    const pausing = failure !== undefined && elapsedMs(failure.at, now) < failure.pauseMs;
    if (token !== undefined && state !== "expired") {
      if (state === "due" && pending === undefined && !pausing) void renew("renewal");
      return token;
    }
    if (pending !== undefined) return pending.promise;
    return failure !== undefined && pausing ? Promise.reject(failure.error) : renew("cold");
  }

  function renew(reason: MintReason): Promise<IdToken> {
    const waiting = Promise.withResolvers<IdToken>();
    // The queue has told of a failure; whoever waits for the promise sees it as well.
    waiting.promise.catch(() => {});
    pending = waiting;
    void mintFor(waiting, reason);
    return waiting.promise;
  }

  async function mintFor(
    { resolve, reject }: PromiseWithResolvers<IdToken>,
    reason: MintReason,
  ): Promise<void> {
    try {
      const minted = await options.mint(reason);
      if (handedOver) return;
      pending = undefined;
      adopt(minted);
      resolve(minted);
    } catch (error) {
      if (handedOver) return;
      pending = undefined;
      remember(error as MintError);
      reject(error);
    }
  }

  function adopt(minted: IdToken): void {
    token = minted;
    failure = undefined;
    dueAt = options.refreshAt * jitter(clock.random());
    if (pushed) dueAt = Math.min(dueAt, latestPushShare(minted));
    armRenewal(minted);
  }

  function keepForPush(): void {
    if (pushed) return;
    pushed = true;
    if (token === undefined) return;
    dueAt = Math.min(dueAt, latestPushShare(token));
    // After a failure the timer is that of the next try.
    if (failure === undefined) armRenewal(token);
  }

  function armRenewal({ lifeMs, obtainedAt }: IdToken): void {
    arm(lifeMs * dueAt - elapsedMs(obtainedAt, clock.now()));
  }

  function remember(error: MintError): void {
    const now = clock.now();
    const leftMs = leftOf(token, now);
    // A refusal that holds already is no further failure.
    const count = (failure?.count ?? 0) + (error.holdsForMs === undefined ? 1 : 0);
    const pauseMs = error.holdsForMs ?? retryPauseMs(error, count, leftMs, clock.random());
    failure = { error, count, at: now, pauseMs };
    if (always || leftMs > 0) arm(pauseMs);
  }

  function isValid(now: Instant): boolean {
    return leftOf(token, now) > 0;
  }

  function arm(delayMs: number): void {
    if (stopped) return;
    cancelTimer();
    cancelTimer = clock.schedule(delayMs, onTimer);
  }

  function onTimer(): void {
    const now = clock.now();
    const used = token !== undefined && elapsedMs(usedAt, now) < token.lifeMs;
    if (!always && !used) options.onIdle();
    else if (pending === undefined) void renew(isValid(now) ? "renewal" : "cold");
  }

  return {
    get,
    keepForPush,
    peek: () => ({ token: isValid(clock.now()) ? token : undefined, error: failure?.error }),
    forgive: () => {
      if (failure === undefined) return;
      failure = undefined;
      if (always || isValid(clock.now())) arm(0);
    },
    stop: (successor) => {
      stopped = true;
      cancelTimer();
      if (successor === undefined || pending === undefined) return;
      handedOver = true;
      pending.resolve(successor());
    },
  };
}

/** How long a token still lives, in milliseconds; 0 for none. */
function leftOf(token: IdToken | undefined, now: Instant): number {
  return token === undefined ? 0 : Math.max(0, token.lifeMs - elapsedMs(token.obtainedAt, now));
}
