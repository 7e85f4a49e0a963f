import {
  createCertificateAuthority,
  type CertificateAuthority,
  type CertificateRequest,
} from "./certificates.ts";
import { secretFiles } from "./secret-files.ts";

/** How long the certificates are valid. */
export const CERTIFICATE_DAYS = 90;
/** Of a CA whose key is kept. */
const LASTING_DAYS = 3650;

/** Whom the two certificates are for. */
export type Owners = Readonly<Record<"client" | "server", Owner>>;

/** The names in a certificate. */
export type Owner = Pick<CertificateRequest, "commonName" | "dnsNames">;

/** The owners of a tunnel's set or, with its host names, of an auth server's. */
export function ownersOf(authzHosts: readonly string[]): Owners {
  const [host] = authzHosts;
  if (host === undefined) return { client: named("tunnel-client"), server: named("tunnel-server") };
  return { client: named("authz-client"), server: { commonName: host, dnsNames: authzHosts } };
}

function named(name: string): Owner {
  return { commonName: name, dnsNames: [name] };
}

/** A file of the set. */
export interface CertificateFile {
  readonly name: string;
  readonly text: string;
  readonly mode: number;
  readonly what: string;
  /** How long it is valid, if it ends. */
  readonly days?: number;
}

/** The files that make Envoy follow the set in a folder, by its absolute path. */
export function followingFiles(certDir: string): readonly CertificateFile[] {
  const what = `makes Envoy follow the certificates in ${certDir}`;
  return secretFiles(certDir).map((file) => ({ ...file, mode: 0o644, what }));
}

/** Creates a CA and both certificates; the CA's key is among them on request. */
export async function createSet(
  owners: Owners,
  keepCaKey: boolean,
): Promise<readonly CertificateFile[]> {
  const days = keepCaKey ? LASTING_DAYS : CERTIFICATE_DAYS;
  const authority = await createCertificateAuthority("idtoken-authz development CA", days);
  const { certificatePem, privateKeyPem } = authority;
  const key = { name: "ca.key", text: privateKeyPem, mode: 0o600, what: "private key of the CA" };
  return [
    { name: "ca.crt", text: certificatePem, mode: 0o644, what: "certificate of the CA", days },
    ...(keepCaKey ? [{ ...key, days }] : []),
    ...(await issuePairs(authority, owners)),
  ];
}

/** Issues both certificates. */
export async function issuePairs(
  authority: CertificateAuthority,
  { client, server }: Owners,
): Promise<readonly CertificateFile[]> {
  return [
    ...(await issuePair(authority, "client", client)),
    ...(await issuePair(authority, "server", server)),
  ];
}

async function issuePair(
  authority: CertificateAuthority,
  usage: "client" | "server",
  owner: Owner,
): Promise<readonly CertificateFile[]> {
  const days = CERTIFICATE_DAYS;
  const name = owner.commonName;
  const request = { ...owner, usage, days };
  const { certificatePem, privateKeyPem } = await authority.issue(request);
  const certificate = { name: `${usage}.crt`, text: certificatePem, mode: 0o644 };
  const key = { name: `${usage}.key`, text: privateKeyPem, mode: 0o600 };
  return [
    { ...certificate, what: `certificate of ${name}`, days },
    { ...key, what: `private key of ${name}`, days },
  ];
}
