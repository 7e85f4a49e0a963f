// The X.509 library's dependency injection needs it, and needs it first.
import "reflect-metadata";
import type { webcrypto } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509Certificate,
} from "@peculiar/x509";

/** What a certificate is for. */
export interface CertificateRequest {
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** As in `spiffe://cluster.local/ns/shop/sa/web`. */
  readonly uris?: readonly string[];
  /** The end of a TLS connection that it may be. */
  readonly usage: "client" | "server";
  readonly days: number;
  /** When its days begin; now, unless told otherwise. */
  readonly from?: Date;
}

export interface IssuedCertificate {
  readonly certificatePem: string;
  /** PKCS #8, unencrypted. */
  readonly privateKeyPem: string;
}

export interface CertificateAuthority {
  readonly certificatePem: string;
  /** PKCS #8, unencrypted. Whoever has it can issue certificates. */
  readonly privateKeyPem: string;
  /** Issues a certificate for a new ECDSA P-256 key. */
  readonly issue: (request: CertificateRequest) => Promise<IssuedCertificate>;
}

const DAY_MS = 86_400_000;
/** Valid from a little earlier: the other end's clock may be behind. */
const BACKDATE_MS = 300_000;
const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING_ALGORITHM = { name: "ECDSA", hash: "SHA-256" };

/**
 * Makes a certificate authority for development: an ECDSA P-256 key and its self-signed certificate,
 * which issues no further authority.
 */
export async function createCertificateAuthority(
  commonName: string,
  days = 90,
): Promise<CertificateAuthority> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: distinguishedName(commonName),
    keys,
    signingAlgorithm: SIGNING_ALGORITHM,
    ...validity(days),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authorityOf(certificate, keys);
}

/**
 * Restores an authority from its PEM texts. Throws an Error whose message is the rule if they are no
 * certificate and its ECDSA P-256 key.
 */
export async function restoreCertificateAuthority(
  certificatePem: string,
  privateKeyPem: string,
): Promise<CertificateAuthority> {
  const certificate = new X509Certificate(certificatePem);
  const publicKey = await certificate.publicKey.export(KEY_ALGORITHM, ["verify"]);
  const [pkcs8] = PemConverter.decode(privateKeyPem);
  if (pkcs8 === undefined) throw new Error("must be a private key in PEM");
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, KEY_ALGORITHM, true, ["sign"]);
  const probe = new Uint8Array(32);
  const signature = await crypto.subtle.sign(SIGNING_ALGORITHM, privateKey, probe);
  if (!(await crypto.subtle.verify(SIGNING_ALGORITHM, publicKey, signature, probe))) {
    throw new Error("must be the key of the CA's certificate");
  }
  return authorityOf(certificate, { publicKey, privateKey });
}

async function authorityOf(
  certificate: X509Certificate,
  keys: webcrypto.CryptoKeyPair,
): Promise<CertificateAuthority> {
  return {
    certificatePem: toPem(certificate),
    privateKeyPem: await exportKey(keys.privateKey),
    issue: (request) => issue(request, certificate, keys),
  };
}

async function exportKey(privateKey: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", privateKey);
  return `${PemConverter.encode(pkcs8, PemConverter.PrivateKeyTag)}\n`;
}

async function issue(
  { commonName, dnsNames, ipAddresses = [], uris = [], usage, days, from }: CertificateRequest,
  authority: X509Certificate,
  authorityKeys: webcrypto.CryptoKeyPair,
): Promise<IssuedCertificate> {
  const { publicKey, privateKey } = await generateKeys();
  const names = [
    ...dnsNames.map((value) => ({ type: "dns", value }) as const),
    ...ipAddresses.map((value) => ({ type: "ip", value }) as const),
    ...uris.map((value) => ({ type: "url", value }) as const),
  ];
  const usageName = usage === "client" ? "clientAuth" : "serverAuth";
  const certificate = await X509CertificateGenerator.create({
    subject: distinguishedName(commonName),
    issuer: authority.subjectName,
    publicKey,
    signingKey: authorityKeys.privateKey,
    signingAlgorithm: SIGNING_ALGORITHM,
    ...validity(days, from),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage[usageName]]),
      new SubjectAlternativeNameExtension(names),
      await SubjectKeyIdentifierExtension.create(publicKey),
      await AuthorityKeyIdentifierExtension.create(authorityKeys.publicKey),
    ],
  });
  return { certificatePem: toPem(certificate), privateKeyPem: await exportKey(privateKey) };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(KEY_ALGORITHM, true, ["sign", "verify"]);
}

/** As structured data, so that no character of the name is taken for syntax. */
function distinguishedName(commonName: string) {
  return [{ CN: [commonName] }];
}

function validity(days: number, from = new Date()) {
  return {
    notBefore: new Date(from.getTime() - BACKDATE_MS),
    notAfter: new Date(from.getTime() + days * DAY_MS),
  };
}

function toPem(certificate: X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}
