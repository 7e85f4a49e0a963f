import { randomBytes } from "node:crypto";

/** The access tokens that the stand-ins for Google have handed out, and to whom. */
export interface AccessTokens {
  /** Makes a token; `holder` is an e-mail address or, for federation, a principal. */
  readonly issue: (holder: string) => string;
  /** Whose a request is, by its `Authorization`; undefined when nobody's. */
  readonly holderOf: (authorization: string | undefined) => string | undefined;
  /** Makes every token that is out worthless. */
  readonly revokeAll: () => void;
}

/** Starts without any token. */
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
