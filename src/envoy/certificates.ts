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
  type X509Certificate,
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
  /** Issues a certificate for a new ECDSA P-256 key. */
  readonly issue: (request: CertificateRequest) => Promise<IssuedCertificate>;
}

const DAY_MS = 86_400_000;
/** Valid from a little earlier: the other end's clock may be behind. */
const BACKDATE_MS = 300_000;
const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING_ALGORITHM = { name: "ECDSA", hash: "SHA-256" };

/**
 * Makes a certificate authority for development: an ECDSA P-256 key that exists only inside what
 * is returned, and its self-signed certificate, which issues no further authority.
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
  return {
    certificatePem: toPem(certificate),
    issue: (request) => issue(request, certificate, keys),
  };
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
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", privateKey);
  return {
    certificatePem: toPem(certificate),
    privateKeyPem: `${PemConverter.encode(pkcs8, PemConverter.PrivateKeyTag)}\n`,
  };
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
