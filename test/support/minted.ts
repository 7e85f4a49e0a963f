import type { Credential } from "../../src/credentials/credential.ts";
import type { IdToken } from "../../src/tokens/id-token.ts";

/** A token that looks minted, and credentials that mint it. */
export const AUDIENCE = "https://a.run.app";
export const token: IdToken = {
  audience: AUDIENCE,
  header: "Bearer eyJtoken",
  expiresAtSeconds: 1_800_000_000,
  obtainedAt: { wallMs: 0, monotonicMs: 0 },
  lifeMs: 3_600_000,
  skewMs: 0,
};

export const credentialOf = (principal: string): Credential => ({
  type: "service_account",
  principal,
  keyId: `key of ${principal}`,
  endpoint: new URL("https://oauth2.googleapis.com/token"),
  mint: async () => token,
  mintAs: () => async () => token,
});
