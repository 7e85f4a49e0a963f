import type { Credential } from "./credential.ts";
import type { AccessTokenSource } from "../google/access-token.ts";

/** Whose credential it is, and all that can be had with it. */
export interface Identity extends Omit<Credential, "mint"> {
  /** Undefined for one that can get ID tokens by impersonation alone. */
  readonly mint: Credential["mint"] | undefined;
  readonly accessTokens: AccessTokenSource;
  /** Whom IAM must allow to impersonate, as its commands spell it, and with which role. */
  readonly grantee: () => { readonly member: string; readonly role: string };
}

/** Lets its holder mint tokens of an account and pass that right on. */
export const TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator";
/** Lets a federated identity act as an account. */
export const WORKLOAD_IDENTITY_USER = "roles/iam.workloadIdentityUser";
