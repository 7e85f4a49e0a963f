import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { parseNames } from "../access/client-names.ts";
import { StartError } from "../system/errors.ts";
import { readOnce } from "../system/small-file.ts";
import { CheckFailure, type Finding } from "./checklist.ts";

/** What Envoy needs for mutual TLS with a server, in PEM. */
export interface CertificateFiles {
  readonly ca: string;
  readonly identity: { readonly cert: string; readonly key: string };
  /** DNS names and URIs of the client's certificate. */
  readonly names: readonly string[];
}

/** Whose server the files are for. */
export interface CertificateUse {
  readonly server: string;
  /** What to do about a file that cannot be read. */
  readonly remedy: string;
}

const DAY_MS = 86_400_000;
/** What is left of a certificate when it should have been renewed. */
const SOON_MS = 7 * DAY_MS;

/** Checks ca.crt, client.crt and client.key in a folder. Throws a CheckFailure with a remedy. */
export async function checkCertificateFiles(
  folder: string,
  { server, remedy }: CertificateUse,
  now: Date,
): Promise<Finding<CertificateFiles>> {
  const path = (name: string) => join(folder, name);
  const ca = await read(path("ca.crt"), `the CA of ${server}`, remedy);
  const cert = await read(path("client.crt"), "the client's certificate", remedy);
  const key = await read(path("client.key"), "the client's key", remedy);
  parseCertificate(ca, path("ca.crt"));
  const certificate = parseCertificate(cert, path("client.crt"));
  if (!isKeyOf(certificate, key)) {
    throw new CheckFailure(
      `${path("client.key")} is not the key of client.crt`,
      "replace both files with a pair that was issued together",
    );
  }
  const names = parseNames(certificate.subjectAltName ?? "");
  return {
    ...judgeLife(path("client.crt"), certificate, now),
    facts: { names: names.join(" "), validTo: certificate.validTo },
    value: { ca, identity: { cert, key }, names },
  };
}

async function read(path: string, what: string, remedy: string): Promise<string> {
  try {
    return (await readOnce(path, what)).bytes.toString("utf8");
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    throw new CheckFailure(error.message, remedy);
  }
}

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new CheckFailure(`${path} is not a certificate (PEM)`, "replace the file");
  }
}

function isKeyOf(certificate: X509Certificate, key: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

/** Judges how long a client's certificate is valid. Throws a CheckFailure if it is not at `now`. */
function judgeLife(
  path: string,
  { subjectAltName = "nobody", validFrom, validTo }: X509Certificate,
  now: Date,
): Pick<Finding<unknown>, "message" | "remedy"> {
  const renewal = "renew it where it was issued; for one of certs: certs DIR --renew";
  const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
  if (now.getTime() < fromMs || now.getTime() > toMs) {
    throw new CheckFailure(
      `${path} is valid from ${validFrom} to ${validTo}`,
      `${renewal}, or set this machine's clock, which says ${now.toUTCString()}`,
    );
  }
  const message = `${path} is for ${subjectAltName}, valid to ${validTo}`;
  return { message, remedy: toMs - now.getTime() < SOON_MS ? renewal : undefined };
}
