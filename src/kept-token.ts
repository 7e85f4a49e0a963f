import { elapsedMs, type Clock, type Instant } from "./clock.ts";
import { MintError } from "./errors.ts";
import { jitter, retryPauseMs } from "./retry.ts";
import { freshness, type IdToken } from "./token.ts";

/** Why a mint was made: there was no valid token, or the one there was due for renewal. */
export type MintReason = "cold" | "renewal";

/** What is told of each mint, once, however many checks wait for it. */
export interface MintEvents {
  readonly minted: (mint: { token: IdToken; reason: MintReason; durationMs: number }) => void;
  readonly mintFailed: (mint: {
    audience: string;
    reason: MintReason;
    error: MintError;
    durationMs: number;
    /** How long no further exchange is made for this audience. */
    retryInMs: number;
  }) => void;
}

export interface KeptTokenOptions {
  readonly audience: string;
  /** Renewed for ever, or else only while it is used. */
  readonly always: boolean;
  /** One exchange, bounded in time. */
  readonly mint: () => Promise<IdToken>;
  /** Share of a token's life after which it is renewed, jittered by 10 %. */
  readonly refreshAt: number;
  readonly clock: Clock;
  readonly events: MintEvents;
  /** Called when nobody has used the token for a full life, instead of a renewal. */
  readonly onIdle: () => void;
}

/** The token of one audience, kept valid. */
export interface KeptToken {
  /** The token: at once while it is unexpired, else once minted. Rejects with a MintError. */
  readonly get: () => IdToken | Promise<IdToken>;
  /** The unexpired token if there is one, and the last failure since the last success. */
  readonly peek: () => {
    readonly token: IdToken | undefined;
    readonly error: MintError | undefined;
  };
  /** Ends the renewal; a mint under way still answers whoever waits for it. */
  readonly stop: () => void;
}

/**
 * Keeps one audience's token: one exchange at a time, renewal ahead of expiry, the old token
 * served while it is valid, and after a failure no exchange until its pause is over.
 */
export function createKeptToken(options: KeptTokenOptions): KeptToken {
  const { audience, always, clock, events } = options;
  let token: IdToken | undefined;
  let dueAt = options.refreshAt;
  let pending: Promise<IdToken> | undefined;
  let failure: { error: MintError; count: number; at: Instant; pauseMs: number } | undefined;
  let usedAt = clock.now();
  let cancelTimer = () => {};
  let stopped = false;

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
    const startedAt = clock.now();
    const sinceStart = () => elapsedMs(startedAt, clock.now());
    const settled = options.mint().then(
      (minted) => {
        pending = undefined;
        adopt(minted);
        events.minted({ token: minted, reason, durationMs: sinceStart() });
        return minted;
      },
      (cause: unknown) => {
        pending = undefined;
        const error = toMintError(cause);
        const retryInMs = remember(error);
        events.mintFailed({ audience, reason, error, durationMs: sinceStart(), retryInMs });
        throw error;
      },
    );
    // A failure was told to the events; whoever waits for the promise sees it as well.
    settled.catch(() => {});
    pending = settled;
    return settled;
  }

  function adopt(minted: IdToken): void {
    token = minted;
    failure = undefined;
    dueAt = options.refreshAt * jitter(clock.random());
    arm(minted.lifeMs * dueAt - elapsedMs(minted.obtainedAt, clock.now()));
  }

  function remember(error: MintError): number {
    const now = clock.now();
    const serving = isValid(now);
    const count = (failure?.count ?? 0) + 1;
    const pauseMs = retryPauseMs(error, count, serving, clock.random());
    failure = { error, count, at: now, pauseMs };
    if (always || serving) arm(pauseMs);
    return pauseMs;
  }

  function isValid(now: Instant): boolean {
    return token !== undefined && freshness(token, now, dueAt) !== "expired";
  }

  function arm(delayMs: number): void {
    if (stopped) return;
    cancelTimer();
    cancelTimer = clock.schedule(delayMs, () => {
      const now = clock.now();
      const valid = isValid(now);
      const used = token !== undefined && valid && elapsedMs(usedAt, now) < token.lifeMs;
      if (!always && !used) options.onIdle();
      else if (pending === undefined) void renew(valid ? "renewal" : "cold");
    });
  }

  return {
    get,
    peek: () => ({ token: isValid(clock.now()) ? token : undefined, error: failure?.error }),
    stop: () => {
      stopped = true;
      cancelTimer();
    },
  };
}

function toMintError(cause: unknown): MintError {
  if (cause instanceof MintError) return cause;
  return new MintError("mint_unavailable", "the exchange failed unexpectedly", { cause });
}
