import { decodeJwt } from "jose/jwt/decode";
import { elapsedMs, longestElapsedMs, type Instant } from "../system/clock.ts";

/** An ID token from the token endpoint, verified to be for the requested audience. */
export interface IdToken {
  readonly audience: string;
  /** The whole header value: `Bearer` and the token. */
  readonly header: string;
  /** The `exp` claim, in seconds since the epoch. */
  readonly expiresAtSeconds: number;
  /** When the exchange began; the token's life is counted from here. */
  readonly obtainedAt: Instant;
  /** Milliseconds from `obtainedAt` to the token's expiry. */
  readonly lifeMs: number;
  /** Milliseconds that the local clock was ahead of the issuer's at `obtainedAt`; negative: behind. */
  readonly skewMs: number;
}

/**
 * What a token is worth. `due`: still valid, and time to renew it. `doubtful`: the wall clock says
 * that it has expired and the monotonic clock that it has not, so that only the issuer knows.
 */
export type Freshness = "fresh" | "due" | "doubtful" | "expired";

/** An answer that is not an ID token for the audience. The message contains none of the answer. */
export class InvalidIdToken extends Error {
  override readonly name = "InvalidIdToken";
}

/** Three non-empty base64url parts (RFC 7515, section 3.1), and so no control characters. */
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;
/** No ID token lives longer (Google's live one hour): a later `exp` is not believed. */
const MAX_LIFE_MS = 24 * 3600_000;
/** `Date` and `exp` are whole seconds, so a token may expire up to this much before they say so. */
const RESOLUTION_MS = 1000;
/** A pushed token is renewed this long before its expiry, or at half its life if that is shorter. */
const PUSH_RESERVE_MS = 600_000;

/**
 * Verifies the token endpoint's `id_token` and counts its life from `obtainedAt`. `issuerDateMs` is
 * the issuer's clock (its `Date` header), so that a wrong local clock neither shortens nor
 * stretches the life. A `Date` before the token's own `iat` is wrong: the life is at most exp - iat.
 * Throws InvalidIdToken.
 */
export function parseIdToken(
  idToken: unknown,
  audience: string,
  obtainedAt: Instant,
  issuerDateMs: number,
): IdToken {
  if (typeof idToken !== "string") throw new InvalidIdToken("its id_token is not a string");
  const { aud, exp, iat = 0 } = decodeClaims(idToken);
  if (aud !== audience) throw new InvalidIdToken("its id_token is for another audience");
  if (typeof exp !== "number" || !Number.isFinite(exp)) {
    throw new InvalidIdToken("its id_token has no numeric exp");
  }
  if (typeof iat !== "number") throw new InvalidIdToken("its id_token has no numeric iat");
  const issuerNowMs = Math.max(issuerDateMs, iat * 1000);
  const lifeMs = exp * 1000 - issuerNowMs - RESOLUTION_MS;
  if (lifeMs <= 0) throw new InvalidIdToken("its id_token has expired");
  return {
    audience,
    header: `Bearer ${idToken}`,
    expiresAtSeconds: exp,
    obtainedAt,
    lifeMs: Math.min(lifeMs, MAX_LIFE_MS),
    skewMs: obtainedAt.wallMs - issuerNowMs,
  };
}

/** The claims of a token in compact form; its signature is not verified. Throws InvalidIdToken. */
export function decodeClaims(idToken: string): Readonly<Record<string, unknown>> {
  if (!COMPACT_JWS.test(idToken)) {
    throw new InvalidIdToken("its id_token is not three base64url parts");
  }
  try {
    return decodeJwt(idToken);
  } catch {
    // The decoder's cause would quote the token.
    throw new InvalidIdToken("its id_token has no JSON claims");
  }
}

/**
 * What a token is worth at `now`; `refreshAt` is the share of its life after which it is due.
 * The instant of expiry already counts as expired.
 */
export function freshness(
  { obtainedAt, lifeMs }: Pick<IdToken, "obtainedAt" | "lifeMs">,
  now: Instant,
  refreshAt: number,
): Freshness {
  if (elapsedMs(obtainedAt, now) >= lifeMs) return "expired";
  const ageMs = longestElapsedMs(obtainedAt, now);
  if (ageMs >= lifeMs) return "doubtful";
  return ageMs >= lifeMs * refreshAt ? "due" : "fresh";
}

/**
 * The share of its life after which a pushed token is due at the latest: 10 minutes before its
 * expiry, or half its life if that is shorter. Its reader goes on using it until the next poll.
 */
export function latestPushShare({ lifeMs }: Pick<IdToken, "lifeMs">): number {
  return 1 - Math.min(PUSH_RESERVE_MS / lifeMs, 0.5);
}
