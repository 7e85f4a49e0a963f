import { createHash, generateKeyPair, randomUUID } from "node:crypto";
import { promisify } from "node:util";
import {
  createLocalJWKSet,
  exportJWK,
  SignJWT,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from "jose";
import type { AssertedRequest } from "./assertion.ts";

export interface TokenIssuer {
  readonly jwks: JSONWebKeySet;
  /** Finds the key that verifies a token of this issuer. */
  readonly keys: JWTVerifyGetKey;
  readonly nowSeconds: () => number;
  /** Signs an ID token with Google's claims, some of them changed. */
  readonly sign: (
    request: AssertedRequest,
    changes?: Readonly<Record<string, unknown>>,
  ) => Promise<string>;
  readonly setTokenLife: (seconds: number) => void;
  readonly setClockOffset: (offsetMs: number) => void;
}

const generate = promisify(generateKeyPair);

/** Creates an issuer of ID tokens with a new RSA key. */
export async function createTokenIssuer(initialLifeSeconds: number): Promise<TokenIssuer> {
  let lifeSeconds = initialLifeSeconds;
  let clockOffsetMs = 0;
  const { publicKey, privateKey } = await generate("rsa", { modulusLength: 2048 });
  const kid = randomUUID();
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" }] };
  const nowSeconds = () => Math.floor((Date.now() + clockOffsetMs) / 1000);
  return {
    jwks,
    keys: createLocalJWKSet(jwks),
    nowSeconds,
    sign: ({ account = "", audience = "" }, changes = {}) => {
      const iat = nowSeconds();
      const who = { azp: account, sub: subjectOf(account), email: account, email_verified: true };
      const when = { iat, exp: iat + lifeSeconds };
      const claims = { iss: "https://accounts.google.com", aud: audience, ...who, ...when };
      return new SignJWT({ ...claims, ...changes })
        .setProtectedHeader({ alg: "RS256", kid, typ: "JWT" })
        .sign(privateKey);
    },
    setTokenLife: (seconds) => {
      lifeSeconds = seconds;
    },
    setClockOffset: (offsetMs) => {
      clockOffsetMs = offsetMs;
    },
  };
}

/** Google's subjects have 21 digits. */
function subjectOf(account: string): string {
  const digest = createHash("sha256").update(account).digest();
  return `1${digest.readBigUInt64BE().toString().padStart(20, "0")}`;
}
