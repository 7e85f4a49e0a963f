import type { Mint } from "./mint-queue.ts";

/** Whatever ID tokens are minted with. */
export interface Credential {
  readonly type: "service_account";
  /** The account that the tokens are for. */
  readonly principal: string;
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
