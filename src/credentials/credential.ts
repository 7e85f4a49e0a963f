import type { Mint } from "../tokens/mint-queue.ts";

/** What a credential is: the `type` of its file, or the metadata server. */
type CredentialType =
  | "service_account"
  | "metadata_server"
  | "impersonated_service_account"
  | "external_account"
  | "authorized_user";

/** Whatever ID tokens are minted with. */
export interface Credential {
  readonly type: CredentialType;
  /**
   * The account that the tokens are for; empty while nobody has named it. A metadata server names
   * it in its own time, so that two looks may differ.
   */
  readonly principal: string;
  /** The service-account key's ID; empty where there is none. */
  readonly keyId: string;
  /** Where it mints, or begins to. */
  readonly endpoint: URL;
  readonly mint: Mint;
}

/** A credential file's content. */
export interface CredentialFile {
  /** Tells one content from another. */
  readonly fingerprint: string;
  /** Throws a StartError of one line when the content is no usable credential. */
  readonly parse: () => Credential;
}
