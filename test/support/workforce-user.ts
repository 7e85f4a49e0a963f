import { randomBytes } from "node:crypto";
import type { TokenRefusal } from "./assertion.ts";

/** A user of a workforce identity pool who has logged in with gcloud. */
export interface WorkforceUser {
  readonly principal: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** The refresh token that is valid now; each refresh replaces it. */
  refreshToken: string;
}

export type RefreshVerdict =
  | { readonly principal: string; readonly refresh_token: string }
  | { readonly refusal: TokenRefusal };

/** Creates a user with random secrets. */
export function createWorkforceUser(principal: string): WorkforceUser {
  return {
    principal,
    clientId: "workforce-client",
    clientSecret: randomBytes(12).toString("hex"),
    refreshToken: randomBytes(24).toString("hex"),
  };
}

/** Checks a refresh request (RFC 6749, section 6) and replaces the user's refresh token. */
export function judgeWorkforceRefresh(
  form: URLSearchParams,
  authorization: string | undefined,
  users: readonly WorkforceUser[],
): RefreshVerdict {
  if (form.get("grant_type") !== "refresh_token") {
    return { refusal: { error: "unsupported_grant_type", description: "Invalid grant_type" } };
  }
  const user = users.find(({ refreshToken }) => refreshToken === form.get("refresh_token"));
  if (user === undefined) {
    return { refusal: { error: "invalid_grant", description: "The refresh token is not valid." } };
  }
  const basic = Buffer.from(`${user.clientId}:${user.clientSecret}`).toString("base64");
  if (authorization !== `Basic ${basic}`) {
    return { refusal: { error: "invalid_client", description: "Unauthorized" } };
  }
  user.refreshToken = randomBytes(24).toString("hex");
  return { principal: user.principal, refresh_token: user.refreshToken };
}
