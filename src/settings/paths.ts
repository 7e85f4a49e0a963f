import { existsSync } from "node:fs";
import { resolve } from "node:path";

/** Where Linux distributions, BSDs and macOS store the CA certificates they trust. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** Parses the path of a file. Throws an Error whose message is the rule. */
export function parsePath(text: string): string {
  if (/^[\s"']*\{|PRIVATE KEY|[\r\n]/.test(text)) {
    throw new Error("must be a path, not the content of the file");
  }
  if (text === "" || text.includes("\0")) throw new Error("must be a path");
  return text;
}

/** Makes a path absolute, because Envoy may be started in another folder. */
export function parseAbsolutePath(text: string): string {
  if (text === "") throw new Error("must be a path");
  return resolve(text);
}

/** Returns the CA bundle of this system. Throws an Error if there is none. */
export function findSystemBundle(): string {
  const bundle = SYSTEM_BUNDLES.find((path) => existsSync(path));
  if (bundle === undefined) {
    throw new Error(`must be given, as this system has none of ${SYSTEM_BUNDLES.join(", ")}`);
  }
  return bundle;
}
