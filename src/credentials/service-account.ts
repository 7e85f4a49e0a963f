import type { Clock } from "../system/clock.ts";
import { createKeyAccess, createMinter } from "./service-account-mint.ts";
import { parseServiceAccountKey } from "./service-account-key.ts";
import { createAccessTokenSource } from "../google/access-token.ts";
import type { Fields } from "./fields.ts";
import { TOKEN_CREATOR, type Identity } from "./identity.ts";

/** Parses a `service_account` file. Throws a StartError. */
export function parseServiceAccount(fields: Fields, clock: Clock): Identity {
  const key = parseServiceAccountKey(fields);
  return {
    type: "service_account",
    principal: key.clientEmail,
    keyId: key.keyId,
    endpoint: key.tokenUri,
    mint: createMinter(key, clock),
    accessTokens: createAccessTokenSource(createKeyAccess(key, clock), clock),
    grantee: () => ({ member: `serviceAccount:${key.clientEmail}`, role: TOKEN_CREATOR }),
  };
}
