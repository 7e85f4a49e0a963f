import type { AssertedRequest, TokenRefusal } from "./assertion.ts";

/** A user who has logged in with gcloud. */
export interface User {
  readonly email: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly refreshToken: string;
  /** The audience of the user's ID tokens; the client ID, as at Google, by default. */
  readonly idTokenAudience?: string | undefined;
}

interface RefreshRequest {
  readonly form: URLSearchParams;
  readonly users: ReadonlyMap<string, User>;
}

/** Reads the user of a refresh request and the audience of the ID token that it returns. */
export function readRefresh({ form, users }: RefreshRequest): AssertedRequest {
  const user = users.get(form.get("refresh_token") ?? "");
  return { account: user?.email, audience: user?.idTokenAudience ?? user?.clientId };
}

/** Checks a refresh request (RFC 6749, section 6). Returns undefined when it may have tokens. */
export function judgeRefresh({ form, users }: RefreshRequest): TokenRefusal | undefined {
  const user = users.get(form.get("refresh_token") ?? "");
  if (user === undefined) {
    return { error: "invalid_grant", description: "Token has been expired or revoked." };
  }
  if (form.get("client_id") === user.clientId && form.get("client_secret") === user.clientSecret) {
    return undefined;
  }
  return { error: "invalid_client", description: "Unauthorized" };
}
