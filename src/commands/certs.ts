import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { parseNames } from "../access/client-names.ts";
import {
  CERTIFICATE_DAYS,
  createSet,
  followingFiles,
  issuePairs,
  ownersOf,
  type CertificateFile,
  type Owner,
} from "../envoy/certificate-set.ts";
import { restoreCertificateAuthority, type CertificateAuthority } from "../envoy/certificates.ts";
import { isHostname } from "../system/address.ts";
import { StartError, systemReason, UsageError } from "../system/errors.ts";
import { replaceFiles, writeNewFiles } from "../system/file-set.ts";
import { parsePath } from "../settings/paths.ts";
import { optional, parseSettings, toggle } from "../settings/table.ts";

const settings = {
  authzHosts: {
    flag: "authz-host",
    placeholder: "HOST",
    help: "Host names of the auth server.",
    read: (texts: readonly string[]) => texts.map(parseHost),
  },
  keepCaKey: toggle({ flag: "keep-ca-key", help: "Keeps the CA's key." }),
  renew: toggle({ flag: "renew", help: "Renews the certificates." }),
  sdsFor: optional(
    { flag: "sds-for", placeholder: "PATH", help: "Writes only the *.sds.yaml files." },
    parsePath,
  ),
};

/** The output of `certs --help`. */
export const certsHelp = () => `Usage: idtoken-authz certs DIR [--authz-host HOST] [--keep-ca-key]
       idtoken-authz certs DIR --renew
       idtoken-authz certs DIR --sds-for PATH

Creates a development CA and the tunnel's two certificates in DIR, which it creates if necessary:
ca.crt, client.crt, client.key, server.crt and server.key, valid for ${CERTIFICATE_DAYS} days. The CA's
key is discarded, so that nobody can issue further certificates: create a new set before these
expire. Beside them, ca.sds.yaml, client.sds.yaml and server.sds.yaml make Envoy use renewed
certificates without a restart; they contain DIR's absolute path and no key. Overwrites nothing.

  --authz-host HOST  instead makes the certificates of an auth server with TLS at that host (repeat
                     the flag for more names of it) and of the Envoys that ask it
  --keep-ca-key      keeps the CA's key, as ca.key, and makes the CA valid for ten years
  --renew            replaces both certificates and their keys by new ones of the same CA and for the
                     same names, which needs ca.crt and ca.key
  --sds-for PATH     creates only the *.sds.yaml files, for certificates that Envoy finds in PATH
`;

/**
 * Creates a CA, a client and a server certificate in a folder, or renews the certificates there, and
 * prints the paths. Resolves with the exit code 0. Throws a UsageError, or a StartError that names
 * every existing file or the reason why it cannot write; it then leaves everything as it was.
 */
export async function certsCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  io: { readonly stdout: (text: string) => void },
): Promise<number> {
  const flags = parseCertsFlags(argv, env);
  const files = flags.isRenewal ? await renew(flags.folder) : await create(flags);
  for (const { path, what, days } of files) {
    io.stdout(`${path}: ${what}${days === undefined ? "" : `, ends ${endOf(days)}`}\n`);
  }
  return 0;
}

function endOf(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
}

type CertsFlags = ReturnType<typeof parseCertsFlags>;

/** Reads DIR and the flags. Throws a UsageError. */
export function parseCertsFlags(argv: readonly string[], env: NodeJS.ProcessEnv) {
  const { values, positionals } = parseSettings(settings, argv, env, ["DIR"]);
  const { renew: isRenewal, keepCaKey, authzHosts, sdsFor } = values;
  const [folder = ""] = positionals;
  if (folder === "") throw new UsageError(["DIR: must be a path"]);
  if (isRenewal && keepCaKey) {
    throw new UsageError(["--keep-ca-key: has no effect with --renew, which needs the key"]);
  }
  if (isRenewal && authzHosts.length > 0) {
    throw new UsageError(["--authz-host: has no effect with --renew, which keeps the names"]);
  }
  if (sdsFor !== undefined && (isRenewal || keepCaKey || authzHosts.length > 0)) {
    throw new UsageError(["--sds-for: makes no certificates, so takes no other flag"]);
  }
  return { folder, isRenewal, owners: ownersOf(authzHosts), keepCaKey, sdsFor };
}

/** Envoy compares it with the host in `--authz`. */
function parseHost(text: string): string {
  if (!isHostname(text) || isIP(text) !== 0) throw new Error("must be a host name");
  return text.toLowerCase();
}

type PlacedFile = CertificateFile & { readonly path: string };

async function create({
  folder,
  owners,
  keepCaKey,
  sdsFor,
}: CertsFlags): Promise<readonly PlacedFile[]> {
  const set = sdsFor === undefined ? await createSet(owners, keepCaKey) : [];
  const files = [...set, ...followingFiles(resolve(sdsFor ?? folder))];
  await writeNewFiles(folder, files);
  return placeIn(folder, files);
}

async function renew(folder: string): Promise<readonly PlacedFile[]> {
  const authority = await readAuthority(folder);
  const [client, server] = [await readOwner(folder, "client"), await readOwner(folder, "server")];
  const files = await issuePairs(authority, { client, server });
  try {
    await replaceFiles(folder, files);
  } catch (cause) {
    if (cause instanceof StartError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StartError(`not all renewed: run certs --renew again: ${reason}`, { cause });
  }
  return placeIn(folder, files);
}

async function readAuthority(folder: string): Promise<CertificateAuthority> {
  const [certificate, key] = [join(folder, "ca.crt"), join(folder, "ca.key")];
  try {
    const texts = await Promise.all([readFile(certificate, "utf8"), readFile(key, "utf8")]);
    return await restoreCertificateAuthority(...texts);
  } catch (cause) {
    throw new StartError(
      `nothing renewed: needs ${certificate} and ${key}, which certs --keep-ca-key writes: ${systemReason(cause)}`,
      { cause },
    );
  }
}

/** The names in the certificate that is there. */
async function readOwner(folder: string, usage: "client" | "server"): Promise<Owner> {
  const path = join(folder, `${usage}.crt`);
  try {
    const { subjectAltName = "" } = new X509Certificate(await readFile(path));
    const dnsNames = parseNames(subjectAltName);
    const [commonName] = dnsNames;
    if (commonName === undefined) throw new Error("it names no host");
    return { commonName, dnsNames };
  } catch (cause) {
    throw new StartError(`nothing renewed: needs the names in ${path}: ${systemReason(cause)}`, {
      cause,
    });
  }
}

function placeIn(folder: string, files: readonly CertificateFile[]): readonly PlacedFile[] {
  return files.map((file) => ({ ...file, path: join(folder, file.name) }));
}
