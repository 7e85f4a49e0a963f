import { readFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";

/** Whose certificate a file is about: one of the tunnel's ends, or the authority of both. */
type SecretName = "ca" | "client" | "server";

const SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const NAMES: readonly SecretName[] = ["ca", "client", "server"];

/** A file that makes Envoy follow certificates. */
export interface SecretFile {
  readonly name: string;
  readonly text: string;
}

/**
 * The files that make Envoy follow the certificates in a folder: Envoy reloads only those that a file
 * outside its config names. They contain paths and no key. `certDir` is an absolute path, as Envoy
 * resolves relative ones against its working directory.
 */
export function secretFiles(certDir: string): readonly SecretFile[] {
  return NAMES.map((name) => ({ name: `${name}.sds.yaml`, text: secretFile(name, certDir) }));
}

/** Whether a folder has the files that make Envoy follow the certificates there. */
export function hasSecretFiles(certDir: string): boolean {
  return secretFiles(certDir).every(({ name, text }) => readOrEmpty(join(certDir, name)) === text);
}

function secretFile(name: SecretName, certDir: string): string {
  const file = (extension: string) => ({ filename: join(certDir, `${name}.${extension}`) });
  const watched = { watched_directory: { path: certDir } };
  const secret =
    name === "ca"
      ? { validation_context: { trusted_ca: file("crt"), ...watched } }
      : {
          tls_certificate: { certificate_chain: file("crt"), private_key: file("key"), ...watched },
        };
  return stringify({ resources: [{ "@type": SECRET_TYPE, name, ...secret }] });
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
