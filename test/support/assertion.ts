import type { KeyObject } from "node:crypto";
import { compactVerify, decodeJwt, decodeProtectedHeader, errors, type JWTPayload } from "jose";

/** One key of a service account. */
export interface AccountKey {
  readonly clientEmail: string;
  readonly keyId: string;
  readonly publicKey: KeyObject;
}

/** The accounts registered at a token endpoint, each with its keys. */
export interface Accounts {
  readonly register: (key: AccountKey) => void;
  readonly revoke: (key: Pick<AccountKey, "clientEmail" | "keyId">) => void;
  /** An account's keys; undefined when there is no such account. */
  readonly keysOf: (clientEmail: string) => readonly KeyObject[] | undefined;
}

/** The claims of a token request, unverified. */
export interface AssertedRequest {
  readonly account: string | undefined;
  /** The audience of the requested ID token; undefined when an access token is requested. */
  readonly audience: string | undefined;
  /** The `kid` of its header; undefined where there is none. */
  readonly keyId?: string | undefined;
}

/** Why a request gets no token: an OAuth error with Google's wording. */
export interface TokenRefusal {
  readonly error: string;
  readonly description: string;
}

/** Creates an empty set of accounts. */
export function createAccounts(): Accounts {
  const accounts = new Map<string, Map<string, KeyObject>>();
  return {
    register: ({ clientEmail, keyId, publicKey }) => {
      const keys = accounts.get(clientEmail) ?? new Map<string, KeyObject>();
      accounts.set(clientEmail, keys.set(keyId, publicKey));
    },
    revoke: ({ clientEmail, keyId }) => {
      const keys = accounts.get(clientEmail);
      keys?.delete(keyId);
      if (keys?.size === 0) accounts.delete(clientEmail);
    },
    keysOf: (clientEmail) => {
      const keys = accounts.get(clientEmail);
      return keys && [...keys.values()];
    },
  };
}

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/** The scope that the IAM Credentials API requires of an access token. */
export const CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform";
const ASSERTION_AUDIENCE = "https://oauth2.googleapis.com/token";
const MAX_LIFE_SECONDS = 3600;
const MAX_SKEW_SECONDS = 300;
const BAD_TIMES =
  "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
  "Check your iat and exp values in the JWT claim.";

/** Reads the claims of a request's assertion without verifying it; malformed ones have none. */
export function readAssertion(form: URLSearchParams): AssertedRequest {
  const assertion = form.get("assertion") ?? "";
  const { iss, target_audience: audience } = claimsOf(assertion) ?? {};
  return {
    account: typeof iss === "string" ? iss : undefined,
    audience: typeof audience === "string" ? audience : undefined,
    keyId: keyIdOf(assertion),
  };
}

/** Checks a token request as Google does. Returns undefined when it may have a token. */
export async function judgeRequest(
  form: URLSearchParams,
  { keysOf }: Accounts,
  nowSeconds: number,
): Promise<TokenRefusal | undefined> {
  if (form.get("grant_type") !== GRANT_TYPE) {
    return { error: "unsupported_grant_type", description: "Invalid grant_type" };
  }
  const assertion = form.get("assertion") ?? "";
  const claims = claimsOf(assertion);
  if (claims === undefined) return invalidGrant("Invalid JWT");
  const keys = keysOf(claims.iss ?? "");
  if (keys === undefined) return invalidGrant("Invalid grant: account not found");
  if (!(await isSignedByAny(assertion, keys))) return invalidGrant("Invalid JWT Signature.");
  if (claims.aud !== ASSERTION_AUDIENCE) return invalidGrant("Invalid JWT: Failed audience check.");
  if (!hasSaneTimes(claims, nowSeconds)) return invalidGrant(BAD_TIMES);
  const wantsIdToken = (readAssertion(form).audience ?? "") !== "";
  if (wantsIdToken === (claims["scope"] !== undefined)) {
    const description = "Invalid OAuth scope or ID token audience provided.";
    return { error: "invalid_scope", description };
  }
  if (!wantsIdToken && claims["scope"] !== CLOUD_PLATFORM) {
    return { error: "invalid_scope", description: "Invalid OAuth scope." };
  }
  return undefined;
}

const invalidGrant = (description: string) => ({ error: "invalid_grant", description });

function claimsOf(assertion: string): JWTPayload | undefined {
  try {
    return decodeJwt(assertion);
  } catch {
    return undefined;
  }
}

function keyIdOf(assertion: string): string | undefined {
  try {
    return decodeProtectedHeader(assertion).kid;
  } catch {
    return undefined;
  }
}

async function isSignedByAny(assertion: string, keys: readonly KeyObject[]): Promise<boolean> {
  for (const key of keys) {
    try {
      await compactVerify(assertion, key, { algorithms: ["RS256"] });
      return true;
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error;
    }
  }
  return false;
}

function hasSaneTimes({ iat, exp }: JWTPayload, nowSeconds: number): boolean {
  if (typeof iat !== "number" || typeof exp !== "number") return false;
  return (
    exp > iat &&
    exp - iat <= MAX_LIFE_SECONDS &&
    exp > nowSeconds - MAX_SKEW_SECONDS &&
    Math.abs(iat - nowSeconds) <= MAX_SKEW_SECONDS
  );
}
