import type { AssertedRequest, TokenRefusal } from "./assertion.ts";

/** A user who has logged in with gcloud. */
export interface User {
  readonly email: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly refreshToken: string;
  /** What the user's ID tokens are for; the client, as at Google, unless told otherwise. */
  readonly idTokenAudience?: string | undefined;
}

interface RefreshRequest {
  readonly form: URLSearchParams;
  readonly users: ReadonlyMap<string, User>;
}

/** Whom a refresh request is for, and what the ID token beside its access token is for. */
export function readRefresh({ form, users }: RefreshRequest): AssertedRequest {
  const user = users.get(form.get("refresh_token") ?? "");
  return { account: user?.email, audience: user?.idTokenAudience ?? user?.clientId };
}

/** Judges a refresh request (RFC 6749, section 6); undefined: it earns tokens. */
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
