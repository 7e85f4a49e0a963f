import type { Mint } from "../tokens/mint-queue.ts";

/** The `type` of a credential's file, or the metadata server. */
type CredentialType =
  | "service_account"
  | "metadata_server"
  | "impersonated_service_account"
  | "external_account"
  | "external_account_authorized_user"
  | "authorized_user";

/** What ID tokens are minted with. */
export interface Credential {
  readonly type: CredentialType;
  /**
   * The account that the tokens are for; empty while it is unknown. A metadata server names it
   * only after the first answer, so two reads may differ.
   */
  readonly principal: string;
  /** The service-account key's ID; empty for credentials without one. */
  readonly keyId: string;
  /** The first endpoint that a mint calls. */
  readonly endpoint: URL;
  readonly mint: Mint;
  /** Creates the way to mint for an account, `ACCOUNT[,DELEGATE…]`, that it may impersonate. */
  readonly mintAs: (account: string) => Mint;
}
