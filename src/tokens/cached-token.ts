import { elapsedMs, type Clock, type Instant } from "../system/clock.ts";
import type { MintError } from "../system/errors.ts";
import { createBackoff, jitter } from "./backoff.ts";
import { freshness, latestPushShare, type IdToken } from "./id-token.ts";
import type { MintReason } from "./mint-queue.ts";
import { MintQueueFull } from "./not-attempted.ts";

export interface CachedTokenOptions {
  /** Whether it is renewed for as long as the server runs, or only while it is used. */
  readonly always: boolean;
  /** Mints one token for a caller, within a timeout. Rejects with a MintError. */
  readonly mint: (reason: MintReason, caller: string) => Promise<IdToken>;
  /** Called when another caller waits for the mint, too. */
  readonly join: (caller: string) => void;
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
  /**
   * The token if it is unexpired, else a promise of the next one, which rejects with a MintError.
   * A token of which only the wall clock says that it has expired is served once the issuer has
   * been asked for a new one in vain. `caller` is empty if callers are not told apart.
   */
  readonly get: (caller?: string) => IdToken | Promise<IdToken>;
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
  readonly stop: (successor?: CachedToken["get"]) => void;
}

/** A token with its life, which is counted anew after the wall clock was set. */
interface Cached {
  readonly token: IdToken;
  readonly obtainedAt: Instant;
  readonly lifeMs: number;
}

/**
 * Caches one audience's token: one exchange at a time, renewal ahead of expiry, the old token
 * served while it is valid, and a backoff after each failure.
 */
export function createCachedToken(options: CachedTokenOptions): CachedToken {
  const { always, clock } = options;
  const backoff = createBackoff(clock);
  let cached: Cached | undefined;
  let dueAt = options.refreshAt;
  let isPushed = false;
  let pending: PromiseWithResolvers<IdToken> | undefined;
  let usedAt = clock.now();
  let usedBy = "";
  let cancelTimer = () => {};
  let isStopped = false;
  let isHandedOver = false;
  if (options.seed !== undefined) adopt(options.seed);

  function get(caller = ""): IdToken | Promise<IdToken> {
    const now = clock.now();
    usedAt = now;
    usedBy = caller;
    const state = cached === undefined ? "expired" : freshness(cached, now, dueAt);
    if (cached === undefined || state === "expired") return joinPending() ?? mintUnlessPaused();
    if (state === "doubtful") return joinPending() ?? renew("renewal");
    // The old token is still good; a failed renewal reports itself.
    if (state === "due" && pending === undefined && backoff.leftMs() === 0) void renew("renewal");
    return cached.token;
  }

  function joinPending(): Promise<IdToken> | undefined {
    if (pending !== undefined) options.join(usedBy);
    return pending?.promise;
  }

  function mintUnlessPaused(): Promise<IdToken> {
    const error = backoff.error();
    if (error === undefined || backoff.leftMs() === 0) return renew("cold");
    const isOfAnother = error instanceof MintQueueFull && error.caller !== usedBy;
    return isOfAnother ? renew("cold") : Promise.reject(error);
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
      const minted = await options.mint(reason, usedBy);
      if (isHandedOver) return;
      pending = undefined;
      adopt(minted);
      resolve(minted);
    } catch (error) {
      if (isHandedOver) return;
      pending = undefined;
      settleDoubt(error as MintError);
      scheduleRetry(error as MintError);
      if (cached !== undefined && lifeLeftMs(clock.now()) > 0) resolve(cached.token);
      else reject(error);
    }
  }

  /** Decides which clock is right about a token that could not be renewed. */
  function settleDoubt({ issuerNowMs = 0 }: MintError): void {
    const now = clock.now();
    if (cached === undefined || freshness(cached, now, dueAt) !== "doubtful") return;
    const { token, obtainedAt } = cached;
    const wallMs = now.wallMs - elapsedMs(obtainedAt, now);
    if (issuerNowMs >= token.expiresAtSeconds * 1000) cached = undefined;
    // The wall clock was set: compare with it anew, so that the next time shows as well.
    else cached = { ...cached, obtainedAt: { ...obtainedAt, wallMs } };
  }

  function adopt(minted: IdToken): void {
    cached = { token: minted, obtainedAt: minted.obtainedAt, lifeMs: minted.lifeMs };
    backoff.reset();
    dueAt = options.refreshAt * jitter(clock.random());
    if (isPushed) dueAt = Math.min(dueAt, latestPushShare(minted));
    scheduleRenewal(minted);
  }

  function renewForPush(): void {
    if (isPushed) return;
    isPushed = true;
    if (cached === undefined) return;
    dueAt = Math.min(dueAt, latestPushShare(cached));
    // After a failure the timer is that of the next retry.
    if (backoff.error() === undefined) scheduleRenewal(cached);
  }

  function scheduleRenewal({ lifeMs, obtainedAt }: Pick<IdToken, "lifeMs" | "obtainedAt">): void {
    schedule(lifeMs * dueAt - elapsedMs(obtainedAt, clock.now()));
  }

  function scheduleRetry(error: MintError): void {
    const servedMs = lifeLeftMs(clock.now());
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
    const isUsed = cached !== undefined && elapsedMs(usedAt, now) < cached.lifeMs;
    if (!always && !isUsed) options.onIdle();
    else if (pending === undefined) void renew(lifeLeftMs(now) > 0 ? "renewal" : "cold");
  }

  /** Milliseconds of life that the token has left; 0 for an expired one or none. */
  function lifeLeftMs(now: Instant): number {
    if (cached === undefined) return 0;
    return Math.max(0, cached.lifeMs - elapsedMs(cached.obtainedAt, now));
  }

  return {
    get,
    renewForPush,
    peek: () => ({
      token: lifeLeftMs(clock.now()) > 0 ? cached?.token : undefined,
      error: backoff.error(),
    }),
    forgetFailures: () => {
      if (backoff.error() === undefined) return;
      backoff.reset();
      if (always || lifeLeftMs(clock.now()) > 0) schedule(0);
    },
    stop: (successor) => {
      isStopped = true;
      cancelTimer();
      if (successor === undefined || pending === undefined) return;
      isHandedOver = true;
      pending.resolve(successor(usedBy));
    },
  };
}
