import { createPrivateKey, type KeyObject } from "node:crypto";
import { open } from "node:fs/promises";
import { isLoopback } from "./address.ts";
import { StartError, UsageError } from "./errors.ts";

/** A service account's key, ready to sign. Never log it: `privateKey` is what it says. */
export interface ServiceAccountKey {
  readonly clientEmail: string;
  readonly keyId: string;
  readonly privateKey: KeyObject;
  /** Where its assertions are exchanged. */
  readonly tokenUri: URL;
}

const GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token";
/** Real key files are about 2.4 KB. */
const MAX_FILE_BYTES = 65_536;
/** RFC 7518, section 3.3: RS256 takes no smaller key. */
const MIN_MODULUS_BITS = 2048;

/** Reads a key file's text. Throws a StartError of one line with the path and the reason. */
export async function readKeyFile(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size > MAX_FILE_BYTES) throw fault(path, `it has ${size} bytes, a key file at most 65536`);
    return await file.readFile("utf8");
  } catch (cause) {
    if (cause instanceof StartError) throw cause;
    throw fault(path, READ_FAULTS[errorCode(cause)] ?? `it cannot be read (${errorCode(cause)})`);
  }
}

const READ_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "permission to read it is denied",
  EISDIR: "it is a directory",
};

/**
 * Checks the text of a key file; `path` only names it. Throws a StartError of one line with the
 * path and the reason, or a UsageError for a `token_uri` that may not be used; neither shows any
 * other part of the file.
 */
export function parseServiceAccountKey(text: string, path: string): ServiceAccountKey {
  const json = text.replace(/^\uFEFF/, "").trim();
  if (json === "") throw fault(path, "it is empty");
  const fields = parseObject(json, path);
  const { type } = fields;
  if (type !== "service_account") {
    const known = typeof type === "string" && /^[a-z_]{1,40}$/.test(type);
    throw fault(path, `its type must be service_account, not ${known ? type : "what it says"}`);
  }
  const clientEmail = textField(fields, "client_email", path);
  if (!/^[\x21-\x7e]+@[\x21-\x7e]+$/.test(clientEmail)) {
    throw fault(path, "its client_email is no e-mail address");
  }
  return {
    clientEmail,
    keyId: parseKeyId(fields["private_key_id"]),
    privateKey: parsePrivateKey(textField(fields, "private_key", path), path),
    tokenUri: parseTokenUri(fields["token_uri"] ?? GOOGLE_TOKEN_URI, path),
  };
}

function parseObject(json: string, path: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // The parser's own message would quote the file.
    throw fault(path, "it is not JSON, or cut short");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw fault(path, "it is not a JSON object");
  }
  return value as Record<string, unknown>;
}

function textField(fields: Readonly<Record<string, unknown>>, name: string, path: string): string {
  const value = fields[name];
  if (typeof value !== "string" || value === "") throw fault(path, `its ${name} is missing`);
  return value;
}

/** The key's name in metrics and logs; anything that does not look like one is left out. */
function parseKeyId(value: unknown): string {
  return typeof value === "string" && /^[\w-]{1,64}$/.test(value) ? value : "";
}

function parsePrivateKey(pem: string, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw fault(path, "its private_key is not a readable PEM private key");
  }
  if (key.asymmetricKeyType !== "rsa") {
    throw fault(path, `its private_key must be RSA, not ${key.asymmetricKeyType ?? "unknown"}`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < MIN_MODULUS_BITS) {
    throw fault(path, `its private_key has ${bits} bits, RS256 needs ${MIN_MODULUS_BITS}`);
  }
  return key;
}

function parseTokenUri(value: unknown, path: string): URL {
  const url = typeof value === "string" ? URL.parse(value) : null;
  const allowed =
    url !== null &&
    (url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname)));
  if (!allowed || url.username !== "" || url.password !== "") {
    const shown = url === null ? "no URL" : JSON.stringify(url.origin + url.pathname);
    throw new UsageError([
      `${path}: its token_uri, ${shown}, must be https, or http to a loopback host`,
    ]);
  }
  return url;
}

function fault(path: string, reason: string): StartError {
  return new StartError(`${path}: no usable service-account key: ${reason}`);
}

function errorCode(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error";
}
