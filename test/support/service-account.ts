import { generateKeyPairSync, randomBytes, type KeyObject } from "node:crypto";
import { writeFile } from "node:fs/promises";

export interface ServiceAccountOptions {
  /** The token endpoint, which exchanges the account's assertions. */
  readonly tokenUri: string;
  readonly clientEmail?: string;
}

export interface ServiceAccount {
  readonly clientEmail: string;
  readonly keyId: string;
  /** The public half of the key, which verifies the account's assertions. */
  readonly publicKey: KeyObject;
  /** The key file's JSON in Google's format. */
  readonly keyFile: Readonly<Record<string, string>>;
  /** Writes the key file, readable by its owner only. */
  readonly writeTo: (path: string) => Promise<void>;
}

/** Creates a service account with a new RSA key. Two calls with one address make two keys for it. */
export function createServiceAccount(options: ServiceAccountOptions): ServiceAccount {
  const { tokenUri, clientEmail = "caller@test-project.iam.gserviceaccount.com" } = options;
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const keyId = randomBytes(20).toString("hex");
  const certs = "https://www.googleapis.com/robot/v1/metadata/x509";
  const keyFile = {
    type: "service_account",
    project_id: "test-project",
    private_key_id: keyId,
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    client_email: clientEmail,
    client_id: "100000000000000000001",
    auth_uri: "https://accounts.google.com/o/oauth2/auth",
    token_uri: tokenUri,
    auth_provider_x509_cert_url: "https://www.googleapis.com/oauth2/v1/certs",
    client_x509_cert_url: `${certs}/${encodeURIComponent(clientEmail)}`,
    universe_domain: "googleapis.com",
  };
  const writeTo = (path: string) =>
    writeFile(path, `${JSON.stringify(keyFile, null, 2)}\n`, { mode: 0o600 });
  return { clientEmail, keyId, publicKey, keyFile, writeTo };
}
