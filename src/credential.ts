import type { Mint } from "./mint-queue.ts";

/** Whatever ID tokens are minted with. */
export interface Credential {
  readonly type: "service_account";
  /** The account that the tokens are for. */
  readonly principal: string;
  readonly keyId: string;
  readonly mint: Mint;
}
