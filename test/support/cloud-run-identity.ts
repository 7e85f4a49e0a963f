import type { IncomingHttpHeaders } from "node:http";
import { errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from "jose";

/** Who may call a service. */
export interface AccessRule {
  /** The accepted audiences: the service's URL and its custom audiences. */
  readonly audiences: readonly string[];
  /** Admits callers without a token and leaves their headers unchanged. */
  readonly public?: boolean;
  /** The accounts that may call; everyone with a valid token if left out. */
  readonly invokers?: readonly string[];
}

/** The claims of a caller's token, without the token. */
export interface CallerIdentity {
  readonly email: string | undefined;
  readonly audience: JWTPayload["aud"];
  readonly expiresAtSeconds: number | undefined;
}

export type RefusalReason =
  | "missing"
  | "malformed"
  | "signature"
  | "issuer"
  | "audience"
  | "expired"
  | "not_invoker";

export type Admission =
  /** `headers` are those that the container receives. */
  | { readonly headers: IncomingHttpHeaders; readonly identity: CallerIdentity | undefined }
  | {
      readonly refused: RefusalReason;
      readonly status: 401 | 403;
      readonly identity?: CallerIdentity;
    };

/** Decides as Cloud Run does whether to admit a request; expired tokens get no tolerance. */
export async function admit(
  rule: AccessRule,
  headers: IncomingHttpHeaders,
  keys: JWTVerifyGetKey,
): Promise<Admission> {
  if (rule.public === true) return { headers, identity: undefined };
  const name =
    "x-serverless-authorization" in headers ? "x-serverless-authorization" : "authorization";
  const value = headers[name];
  if (value === undefined) return { refused: "missing", status: 403 };
  const [, token] = /^Bearer +(\S+)$/i.exec(String(value)) ?? [];
  if (token === undefined) return { refused: "malformed", status: 401 };
  let claims: JWTPayload;
  try {
    ({ payload: claims } = await jwtVerify(token, keys, {
      algorithms: ["RS256"],
      issuer: "https://accounts.google.com",
      audience: [...rule.audiences],
      requiredClaims: ["exp"],
      clockTolerance: 0,
    }));
  } catch (error) {
    return { refused: reasonOf(error), status: 401 };
  }
  const identity = identityOf(claims);
  if (rule.invokers?.includes(identity.email ?? "") === false) {
    return { refused: "not_invoker", status: 403, identity };
  }
  const unsigned = token.replace(/[^.]*$/, "SIGNATURE_REMOVED_BY_GOOGLE");
  return { headers: { ...headers, [name]: `Bearer ${unsigned}` }, identity };
}

function identityOf({ email, aud, exp }: JWTPayload): CallerIdentity {
  return {
    email: typeof email === "string" ? email : undefined,
    audience: aud,
    expiresAtSeconds: exp,
  };
}

function reasonOf(error: unknown): RefusalReason {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "aud") return "audience";
    return error.claim === "iss" ? "issuer" : "malformed";
  }
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return "malformed";
  return "signature";
}
