import { longestElapsedMs, type Clock, type Instant } from "../system/clock.ts";
import { bearerOf, jsonOf, lifeOf } from "./answers.ts";
import type { Fetch } from "../system/fetch.ts";
import type { Answer, Peer } from "./exchange.ts";

/** An OAuth access token for Google's APIs. */
export interface AccessToken {
  /** `authorization` and the other headers that a request with the token needs. Never log them. */
  readonly headers: Readonly<Record<string, string>>;
  /** How to send requests with it, if they need connections of their own. */
  readonly fetch: Fetch | undefined;
  readonly obtainedAt: Instant;
  /** Milliseconds from `obtainedAt` to its expiry. */
  readonly lifeMs: number;
}

/** Obtains an access token. Rejects with a MintError. */
export type ObtainAccessToken = (signal: AbortSignal) => Promise<AccessToken>;

export interface AccessTokenSource {
  /** The cached token while it lives, else a new one. Rejects with a MintError. */
  readonly get: ObtainAccessToken;
  /** Drops a token that was refused. */
  readonly forget: (token: AccessToken) => void;
}

/** The scope that Google's IAM Credentials API requires. */
export const CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform";
/** A token this close to its expiry could expire on the way. */
const MARGIN_MS = 60_000;

/** Caches one access token for all mints; concurrent callers share one request for it. */
export function createAccessTokenSource(
  obtain: ObtainAccessToken,
  clock: Clock,
): AccessTokenSource {
  let cached: AccessToken | undefined;
  let pending: { readonly token: Promise<AccessToken>; readonly signal: AbortSignal } | undefined;

  function start(signal: AbortSignal): Promise<AccessToken> {
    const token = obtain(signal).then((obtained) => {
      cached = obtained;
      return obtained;
    });
    const mine = { token, signal };
    const settle = () => {
      if (pending === mine) pending = undefined;
    };
    token.then(settle, settle);
    pending = mine;
    return token;
  }

  async function get(signal: AbortSignal): Promise<AccessToken> {
    if (cached !== undefined && lifeLeftMs(cached) > MARGIN_MS) return cached;
    if (pending === undefined || pending.signal.aborted) return start(signal);
    const { token, signal: other } = pending;
    try {
      return await token;
    } catch (error) {
      // The shared request ran out of its caller's time; this caller has some left.
      if (other.aborted && !signal.aborted) return get(signal);
      throw error;
    }
  }

  function lifeLeftMs({ obtainedAt, lifeMs }: AccessToken): number {
    // By the clock that is further on: a new one costs little, and an expired one a failed mint.
    return lifeMs - longestElapsedMs(obtainedAt, clock.now());
  }

  return {
    get,
    forget: (token) => {
      if (cached === token) cached = undefined;
    },
  };
}

/** Reads the access token of an OAuth answer (RFC 6749, section 5.1). Throws a MintError. */
export function accessTokenOf(
  answer: Answer,
  obtainedAt: Instant,
  peer: Peer,
  headers: Readonly<Record<string, string>> = {},
): AccessToken {
  const fields = jsonOf(answer, peer);
  return {
    headers: { ...headers, authorization: bearerOf(fields["access_token"], peer) },
    fetch: peer.fetch,
    obtainedAt,
    lifeMs: lifeOf(Number(fields["expires_in"]) * 1000, peer),
  };
}

/** The header that names the project whose quota the requests count against. */
export function quotaProject(project: string | undefined): Readonly<Record<string, string>> {
  return project === undefined ? {} : { "x-goog-user-project": project };
}
