import { elapsedMs, type Clock, type Instant } from "./clock.ts";
import type { MintError } from "./errors.ts";
import type { MintReason } from "./mint-queue.ts";
import { jitter, retryPauseMs } from "./retry.ts";
import { freshness, latestPushShare, type IdToken } from "./token.ts";

export interface KeptTokenOptions {
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
export interface KeptToken {
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
   * Ends the renewal. Whoever still waits for a mint is given the successor's token, if there is
   * a successor.
   */
  readonly stop: (successor?: () => IdToken | Promise<IdToken>) => void;
}

/**
 * Keeps one audience's token: one exchange at a time, renewal ahead of expiry, the old token
 * served while it is valid, and after a failure no exchange until its pause is over.
 */
export function createKeptToken(options: KeptTokenOptions): KeptToken {
  const { always, clock } = options;
  let token: IdToken | undefined;
  let dueAt = options.refreshAt;
  let pushed = false;
  let pending: Promise<IdToken> | undefined;
  let failure: { error: MintError; count: number; at: Instant; pauseMs: number } | undefined;
  let usedAt = clock.now();
  let cancelTimer = () => {};
  let stopped: { readonly successor?: () => IdToken | Promise<IdToken> } | undefined;
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
    if (pending !== undefined) return pending;
    return failure !== undefined && pausing ? Promise.reject(failure.error) : renew("cold");
  }

  function renew(reason: MintReason): Promise<IdToken> {
    const settled = options.mint(reason).then(
      (minted) => {
        if (stopped?.successor !== undefined) return stopped.successor();
        pending = undefined;
        adopt(minted);
        return minted;
      },
      (error: MintError) => {
        if (stopped?.successor !== undefined) return stopped.successor();
        pending = undefined;
        remember(error);
        throw error;
      },
    );
    // The queue has told of a failure; whoever waits for the promise sees it as well.
    settled.catch(() => {});
    pending = settled;
    return settled;
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
    const serving = isValid(now);
    const count = (failure?.count ?? 0) + 1;
    const pauseMs = retryPauseMs(error, count, serving, clock.random());
    failure = { error, count, at: now, pauseMs };
    if (always || serving) arm(pauseMs);
  }

  function isValid(now: Instant): boolean {
    return token !== undefined && freshness(token, now, dueAt) !== "expired";
  }

  function arm(delayMs: number): void {
    if (stopped !== undefined) return;
    cancelTimer();
    cancelTimer = clock.schedule(delayMs, onTimer);
  }

  function onTimer(): void {
    const now = clock.now();
    const valid = isValid(now);
    const used = token !== undefined && valid && elapsedMs(usedAt, now) < token.lifeMs;
    if (!always && !used) options.onIdle();
    else if (pending === undefined) void renew(valid ? "renewal" : "cold");
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
      stopped ??= successor === undefined ? {} : { successor };
      cancelTimer();
    },
  };
}
