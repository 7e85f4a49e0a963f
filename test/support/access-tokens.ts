import { randomBytes } from "node:crypto";

/** The access tokens that the stand-ins for Google have issued, with their holders. */
export interface AccessTokens {
  /** Issues a token; `holder` is an e-mail address or, for federation, a principal. */
  readonly issue: (holder: string) => string;
  /** The holder of the token in an `Authorization` header; undefined for an unknown token. */
  readonly holderOf: (authorization: string | undefined) => string | undefined;
  /** Invalidates every issued token. */
  readonly revokeAll: () => void;
}

/** Creates an empty set of tokens. */
export function createAccessTokens(): AccessTokens {
  const holders = new Map<string, string>();
  return {
    issue: (holder) => {
      const token = `ya29.${randomBytes(24).toString("base64url")}`;
      holders.set(token, holder);
      return token;
    },
    holderOf: (authorization = "") => {
      const [, token = ""] = /^Bearer (\S+)$/.exec(authorization) ?? [];
      return holders.get(token);
    },
    revokeAll: () => holders.clear(),
  };
}
