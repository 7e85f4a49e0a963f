import { elapsedMs, type Clock, type Instant } from "../system/clock.ts";
import type { MintError } from "../system/errors.ts";
import { createBackoff, jitter } from "./backoff.ts";
import { freshness, latestPushShare, type IdToken } from "./id-token.ts";
import type { MintReason } from "./mint-queue.ts";

export interface CachedTokenOptions {
  /** Whether it is renewed for as long as the server runs, or only while it is used. */
  readonly always: boolean;
  /** Mints one token, within a timeout. Rejects with a MintError. */
  readonly mint: (reason: MintReason) => Promise<IdToken>;
  /** The first token, if there is one already. */
  readonly seed: IdToken | undefined;
  /** Share of a token's life after which it is renewed, jittered by 10 %. */
  readonly refreshAt: number;
  readonly clock: Clock;
  /** Called instead of a renewal when the token has not been used for its whole life. */
  readonly onIdle: () => void;
}

/** The token of one audience, which renews itself. */
export interface CachedToken {
  /** The token if it is unexpired, else a promise of the next one, which rejects with a MintError. */
  readonly get: () => IdToken | Promise<IdToken>;
  /** From now on renews early enough for a reader that polls and uses the token in between. */
  readonly renewForPush: () => void;
  /** The unexpired token, if any, and the last failure since the last success. */
  readonly peek: () => {
    readonly token: IdToken | undefined;
    readonly error: MintError | undefined;
  };
  /** Forgets past failures, since a new key may work. */
  readonly forgetFailures: () => void;
  /** Ends the renewal. Callers that wait for a mint get the successor's token, if there is one. */
  readonly stop: (successor?: () => IdToken | Promise<IdToken>) => void;
}

/**
 * Caches one audience's token: one exchange at a time, renewal ahead of expiry, the old token
 * served while it is valid, and a backoff after each failure.
 */
export function createCachedToken(options: CachedTokenOptions): CachedToken {
  const { always, clock } = options;
  const backoff = createBackoff(clock);
  let token: IdToken | undefined;
  let dueAt = options.refreshAt;
  let isPushed = false;
  let pending: PromiseWithResolvers<IdToken> | undefined;
  let usedAt = clock.now();
  let cancelTimer = () => {};
  let isStopped = false;
  let isHandedOver = false;
  if (options.seed !== undefined) adopt(options.seed);

  function get(): IdToken | Promise<IdToken> {
    const now = clock.now();
    usedAt = now;
    const state = token === undefined ? "expired" : freshness(token, now, dueAt);
    if (token !== undefined && state !== "expired") {
      // The old token is still good; a failed renewal reports itself.
      if (state === "due" && pending === undefined && backoff.leftMs() === 0) void renew("renewal");
      return token;
    }
    if (pending !== undefined) return pending.promise;
    const error = backoff.error();
    return error !== undefined && backoff.leftMs() > 0 ? Promise.reject(error) : renew("cold");
  }

  function renew(reason: MintReason): Promise<IdToken> {
    const waiting = Promise.withResolvers<IdToken>();
    // The queue reports the failure, even if nobody waits for this promise.
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
      if (isHandedOver) return;
      pending = undefined;
      adopt(minted);
      resolve(minted);
    } catch (error) {
      if (isHandedOver) return;
      pending = undefined;
      scheduleRetry(error as MintError);
      reject(error);
    }
  }

  function adopt(minted: IdToken): void {
    token = minted;
    backoff.reset();
    dueAt = options.refreshAt * jitter(clock.random());
    if (isPushed) dueAt = Math.min(dueAt, latestPushShare(minted));
    scheduleRenewal(minted);
  }

  function renewForPush(): void {
    if (isPushed) return;
    isPushed = true;
    if (token === undefined) return;
    dueAt = Math.min(dueAt, latestPushShare(token));
    // After a failure the timer is that of the next retry.
    if (backoff.error() === undefined) scheduleRenewal(token);
  }

  function scheduleRenewal({ lifeMs, obtainedAt }: IdToken): void {
    schedule(lifeMs * dueAt - elapsedMs(obtainedAt, clock.now()));
  }

  function scheduleRetry(error: MintError): void {
    const servedMs = lifeLeftMs(token, clock.now());
    const pauseMs = backoff.fail(error, servedMs);
    if (always || servedMs > 0) schedule(pauseMs);
  }

  function schedule(delayMs: number): void {
    if (isStopped) return;
    cancelTimer();
    cancelTimer = clock.schedule(delayMs, onTimer);
  }

  function onTimer(): void {
    const now = clock.now();
    const isUsed = token !== undefined && elapsedMs(usedAt, now) < token.lifeMs;
    if (!always && !isUsed) options.onIdle();
    else if (pending === undefined) void renew(lifeLeftMs(token, now) > 0 ? "renewal" : "cold");
  }

  return {
    get,
    renewForPush,
    peek: () => ({
      token: lifeLeftMs(token, clock.now()) > 0 ? token : undefined,
      error: backoff.error(),
    }),
    forgetFailures: () => {
      if (backoff.error() === undefined) return;
      backoff.reset();
      if (always || lifeLeftMs(token, clock.now()) > 0) schedule(0);
    },
    stop: (successor) => {
      isStopped = true;
      cancelTimer();
      if (successor === undefined || pending === undefined) return;
      isHandedOver = true;
      pending.resolve(successor());
    },
  };
}

/** Milliseconds of life that a token has left; 0 for an expired one or none. */
function lifeLeftMs(token: IdToken | undefined, now: Instant): number {
  return token === undefined ? 0 : Math.max(0, token.lifeMs - elapsedMs(token.obtainedAt, now));
}
