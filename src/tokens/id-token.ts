import { elapsedMs, type Instant } from "../system/clock.ts";

/** An ID token as the token endpoint gave it, verified for the audience that was asked. */
export interface IdToken {
  readonly audience: string;
  /** The whole header value: `Bearer` and the token. */
  readonly header: string;
  /** The `exp` claim, in seconds since the epoch. */
  readonly expiresAtSeconds: number;
  /** When the exchange began: life is counted from here, on both clocks. */
  readonly obtainedAt: Instant;
  /** How long it lives from `obtainedAt`. */
  readonly lifeMs: number;
}

/** How much of its life a pushed token has left when it falls due, unless that is over half. */
const PUSH_RESERVE_MS = 600_000;

export type Freshness = "fresh" | "due" | "expired";

/** Why an answer is no ID token for the audience. The message holds no part of the answer. */
export class InvalidIdToken extends Error {
  override readonly name = "InvalidIdToken";
}

/** Three non-empty base64url parts (RFC 7515, section 3.1): this also keeps control characters out. */
const COMPACT_JWS = /^[\w-]+\.([\w-]+)\.[\w-]+$/;
/** No ID token lives longer (Google's live one hour): an `exp` beyond it is not believed. */
const MAX_LIFE_MS = 24 * 3600_000;
/** `Date` and `exp` count whole seconds: a token may end up to this much before they say so. */
const RESOLUTION_MS = 1000;

/**
 * Verifies the token endpoint's `id_token` and counts its life from `obtainedAt`.
 * `issuerNowMs` is the issuer's own clock (its `Date` header), so that a wrong local clock
 * neither shortens nor stretches the life. Throws InvalidIdToken.
 */
export function parseIdToken(
  idToken: unknown,
  audience: string,
  obtainedAt: Instant,
  issuerNowMs: number,
): IdToken {
  if (typeof idToken !== "string") throw new InvalidIdToken("it has no id_token text");
  const payload = COMPACT_JWS.exec(idToken)?.[1];
  if (payload === undefined) throw new InvalidIdToken("its id_token is not three base64url parts");
  const claims = parseClaims(payload);
  if (claims["aud"] !== audience) {
    throw new InvalidIdToken("its id_token is for another audience");
  }
  const { exp } = claims;
  if (typeof exp !== "number" || !Number.isFinite(exp)) {
    throw new InvalidIdToken("its id_token has no numeric exp");
  }
  const lifeMs = exp * 1000 - issuerNowMs - RESOLUTION_MS;
  if (lifeMs <= 0) throw new InvalidIdToken("its id_token has expired");
  return {
    audience,
    header: `Bearer ${idToken}`,
    expiresAtSeconds: exp,
    obtainedAt,
    lifeMs: Math.min(lifeMs, MAX_LIFE_MS),
  };
}

function parseClaims(payload: string): Readonly<Record<string, unknown>> {
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
  } catch {
    // The parser's own message would quote the token.
  }
  if (typeof claims !== "object" || claims === null) {
    throw new InvalidIdToken("its id_token has no JSON claims");
  }
  return claims as Record<string, unknown>;
}

/**
 * How far the local clock was ahead of the issuer's when the token was obtained, in milliseconds;
 * negative: behind. An issuer that does not tell its time counts as of the same mind.
 */
export function clockSkewMs({ obtainedAt, expiresAtSeconds, lifeMs }: IdToken): number {
  return obtainedAt.wallMs - (expiresAtSeconds * 1000 - RESOLUTION_MS - lifeMs);
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
  const ageMs = elapsedMs(obtainedAt, now);
  if (ageMs >= lifeMs) return "expired";
  return ageMs >= lifeMs * refreshAt ? "due" : "fresh";
}

/**
 * The share of its life after which a pushed token is due at the latest: 10 minutes before it ends,
 * or half its life, if that is shorter. Its holder uses it until it asks again.
 */
export function latestPushShare({ lifeMs }: Pick<IdToken, "lifeMs">): number {
  return 1 - Math.min(PUSH_RESERVE_MS / lifeMs, 0.5);
}
