import { createHash } from "node:crypto";
import type { Clock } from "./clock.ts";
import type { CredentialFile } from "./credential.ts";
import { createMinter } from "./minter.ts";
import { parseServiceAccountKey, readKeyFile } from "./service-account-key.ts";

/** Reads a credential file. Throws a StartError of one line when it cannot be read. */
export async function readCredential(path: string, clock: Clock): Promise<CredentialFile> {
  const text = await readKeyFile(path);
  return {
    fingerprint: createHash("sha256").update(text).digest("base64"),
    parse: () => {
      const key = parseServiceAccountKey(text, path);
      const { clientEmail: principal, keyId, tokenUri: endpoint } = key;
      const mint = createMinter(key, clock);
      return { type: "service_account", principal, keyId, endpoint, mint };
    },
  };
}
