import { SignJWT, type JWTPayload } from "jose";
import { accessTokenOf, CLOUD_PLATFORM, type ObtainAccessToken } from "../google/access-token.ts";
import { idTokenOf, jsonOf } from "../google/answers.ts";
import { postForm, type Answer, type Peer } from "../google/exchange.ts";
import type { Clock } from "../system/clock.ts";
import type { Mint } from "../tokens/mint-queue.ts";
import type { ServiceAccountKey } from "./service-account-key.ts";

const PEER: Peer = { name: "the token endpoint" };
const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/** What Google expects as an assertion's `aud`, wherever the key file sends it. */
const ASSERTION_AUDIENCE = "https://oauth2.googleapis.com/token";

/**
 * Mints ID tokens from a service-account key: a signed assertion with a `target_audience` is
 * exchanged for a Google-signed token (RFC 7523). Every answer is verified before it is returned.
 * Each call sends at most one request; the caller's signal bounds its time.
 */
export function createMinter(key: ServiceAccountKey, clock: Clock): Mint {
  return async (audience, signal) => {
    const obtainedAt = clock.now();
    const answer = await exchange(key, { target_audience: audience }, signal);
    return idTokenOf(jsonOf(answer, PEER)["id_token"], audience, obtainedAt, answer, PEER);
  };
}

/** Obtains access tokens for Google's APIs from a service-account key, likewise. */
export function createKeyAccess(key: ServiceAccountKey, clock: Clock): ObtainAccessToken {
  return async (signal) => {
    const obtainedAt = clock.now();
    const answer = await exchange(key, { scope: CLOUD_PLATFORM }, signal);
    return accessTokenOf(answer, obtainedAt, PEER);
  };
}

async function exchange(
  key: ServiceAccountKey,
  claims: JWTPayload,
  signal: AbortSignal,
): Promise<Answer> {
  const assertion = await signAssertion(key, claims);
  const form = new URLSearchParams({ grant_type: GRANT_TYPE, assertion });
  return postForm(key.tokenUri, form, signal, PEER);
}

/** Signs an assertion. It is valid for an hour, the longest that Google accepts. Never log it. */
async function signAssertion(key: ServiceAccountKey, claims: JWTPayload): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "RS256", typ: "JWT", ...(key.keyId !== "" && { kid: key.keyId }) })
    .setIssuer(key.clientEmail)
    .setAudience(ASSERTION_AUDIENCE)
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(key.privateKey);
}
