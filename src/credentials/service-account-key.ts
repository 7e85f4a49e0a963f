import { createPrivateKey, type KeyObject } from "node:crypto";
import { fault, textField, type Fields } from "./fields.ts";
import { urlField } from "./urls.ts";

/** A service account's key, ready to sign. Never log it. */
export interface ServiceAccountKey {
  readonly clientEmail: string;
  readonly keyId: string;
  readonly privateKey: KeyObject;
  /** The token endpoint that exchanges its assertions. */
  readonly tokenUri: URL;
}

const GOOGLE_TOKEN_URI = new URL("https://oauth2.googleapis.com/token");
/** The smallest key for RS256 (RFC 7518, section 3.3). */
const MIN_MODULUS_BITS = 2048;

/**
 * Parses the fields of a key file. Throws a StartError of one line with the path and the reason, or
 * a UsageError for a `token_uri` that is not allowed; neither shows any other part of the file.
 */
export function parseServiceAccountKey(fields: Fields): ServiceAccountKey {
  const clientEmail = textField(fields, "client_email");
  if (!/^[\x21-\x7e]+@[\x21-\x7e]+$/.test(clientEmail)) {
    throw fault(fields, `its ${fields.prefix}client_email is not an e-mail address`);
  }
  return {
    clientEmail,
    keyId: parseKeyId(fields.values["private_key_id"]),
    privateKey: parsePrivateKey(fields),
    tokenUri: urlField(fields, "token_uri", "tokenEndpoint") ?? GOOGLE_TOKEN_URI,
  };
}

/** The key's ID in metrics and logs; empty for a value that does not look like one. */
function parseKeyId(value: unknown): string {
  return typeof value === "string" && /^[\w-]{1,64}$/.test(value) ? value : "";
}

function parsePrivateKey(fields: Fields): KeyObject {
  const pem = textField(fields, "private_key");
  const name = `${fields.prefix}private_key`;
  if (pem.includes(String.raw`\n`)) {
    const mistake = String.raw`\n as two characters where lines should end`;
    const advice = "escape it once, as in the file that Google wrote";
    throw fault(fields, `its ${name} has ${mistake}: ${advice}`);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw fault(fields, `its ${name} is not a readable PEM private key`);
  }
  if (key.asymmetricKeyType !== "rsa") {
    throw fault(fields, `its ${name} must be RSA, not ${key.asymmetricKeyType ?? "unknown"}`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < MIN_MODULUS_BITS) {
    throw fault(fields, `its ${name} has ${bits} bits, RS256 needs ${MIN_MODULUS_BITS}`);
  }
  return key;
}
