import type { AccessTokenSource } from "../google/access-token.ts";
import type { Credential } from "./credential.ts";

/** Whom IAM must allow to impersonate, as its commands spell it, and with which role. */
export interface Grantee {
  readonly member: string;
  readonly role: string;
}

/** Who a credential belongs to, and everything that can be minted with it. */
export interface Identity extends Omit<Credential, "mint" | "mintAs"> {
  /** Undefined for an identity that gets ID tokens only by impersonation. */
  readonly mint: Credential["mint"] | undefined;
  readonly accessTokens: AccessTokenSource;
  readonly grantee: () => Grantee;
}

/** Lets its holder mint an account's tokens. */
export const TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator";
/** Lets a workload's identity act as an account. */
export const WORKLOAD_IDENTITY_USER = "roles/iam.workloadIdentityUser";
