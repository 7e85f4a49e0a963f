import { elapsedMs, type Clock, type Instant } from "../system/clock.ts";
import type { Answer, Fetch, Peer } from "./exchange.ts";
import { bearerOf, jsonOf, lifeOf } from "./answers.ts";

/** What Google's own APIs are called with. */
export interface AccessToken {
  /** `authorization`, and whatever else a request with the token must carry. Never log them. */
  readonly headers: Readonly<Record<string, string>>;
  /** How it must be presented; undefined for Node's own `fetch`. */
  readonly fetch: Fetch | undefined;
  readonly obtainedAt: Instant;
  /** How long it lives from `obtainedAt`. */
  readonly lifeMs: number;
}

/** Obtains an access token. Rejects with a MintError. */
export type ObtainAccessToken = (signal: AbortSignal) => Promise<AccessToken>;

export interface AccessTokenSource {
  /** The kept token while it lives, else a new one. Rejects with a MintError. */
  readonly get: ObtainAccessToken;
  /** Gives up a token that was refused. */
  readonly forget: (token: AccessToken) => void;
}

/** What calls Google's IAM Credentials API must be allowed to do. */
export const CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform";
/** A token this close to its end might meet it on the way. */
const MARGIN_MS = 60_000;

/** Keeps one access token for all mints that need it; whoever asks meanwhile waits for the same. */
export function createAccessTokenSource(
  obtain: ObtainAccessToken,
  clock: Clock,
): AccessTokenSource {
  let kept: AccessToken | undefined;
  let pending: { readonly token: Promise<AccessToken>; readonly signal: AbortSignal } | undefined;

  function start(signal: AbortSignal): Promise<AccessToken> {
    const token = obtain(signal).then((obtained) => {
      kept = obtained;
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
    if (kept !== undefined && elapsedMs(kept.obtainedAt, clock.now()) < kept.lifeMs - MARGIN_MS) {
      return kept;
    }
    if (pending === undefined || pending.signal.aborted) return start(signal);
    const { token, signal: other } = pending;
    try {
      return await token;
    } catch (error) {
      // The one that was waited for ran out of its time; this one has some left.
      if (other.aborted && !signal.aborted) return get(signal);
      throw error;
    }
  }

  return {
    get,
    forget: (token) => {
      if (kept === token) kept = undefined;
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

/** The header that names the project whose quota requests count against. */
export function quotaProject(project: string | undefined): Readonly<Record<string, string>> {
  return project === undefined ? {} : { "x-goog-user-project": project };
}
