import type { IdToken } from "../../src/tokens/id-token.ts";
import type { Instant } from "../../src/system/clock.ts";

/** Builds the compact form of a token with these claims and an invalid signature. */
export function compactToken(claims: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256", kid: "k" })}.${part(claims)}.c2lnbmF0dXJl`;
}

/** Builds a token as the token source caches it. */
export function idToken(audience: string, obtainedAt: Instant, lifeMs = 3600_000): IdToken {
  return {
    audience,
    header: `Bearer ${audience}@${obtainedAt.monotonicMs}`,
    expiresAtSeconds: Math.floor((obtainedAt.wallMs + lifeMs) / 1000),
    obtainedAt,
    lifeMs,
    skewMs: 0,
  };
}
