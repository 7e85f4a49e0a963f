import { lstat, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  createCertificateAuthority,
  restoreCertificateAuthority,
  type CertificateAuthority,
} from "../envoy/certificates.ts";
import { StartError, UsageError } from "../system/errors.ts";
import { parseSettings, toggle } from "../settings/table.ts";

const DAYS = 90;
/** Of a CA whose key is kept. */
const LASTING_DAYS = 3650;

const settings = {
  keepCaKey: toggle({ flag: "keep-ca-key", help: "Keeps the CA's key." }),
  renew: toggle({ flag: "renew", help: "Renews the certificates." }),
};

/** The output of `certs --help`. */
export const certsHelp = () => `Usage: idtoken-authz certs DIR [--keep-ca-key]
       idtoken-authz certs DIR --renew

Creates a development CA and the tunnel's two certificates in DIR, which it creates if necessary:
ca.crt, client.crt, client.key, server.crt and server.key, valid for ${DAYS} days. The CA's key is
discarded, so that nobody can issue further certificates: create a new set before these expire.
Overwrites nothing.

  --keep-ca-key  keeps the CA's key, as ca.key, and makes the CA valid for ten years
  --renew        replaces both certificates and their keys by new ones of the same CA, which needs
                 ca.crt and ca.key
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
  const { values, positionals } = parseSettings(settings, argv, env, ["DIR"]);
  const [folder = ""] = positionals;
  if (folder === "") throw new UsageError(["DIR: must be a path"]);
  if (values.renew && values.keepCaKey) {
    throw new UsageError(["--keep-ca-key: has no effect with --renew, which needs the key"]);
  }
  const files = values.renew ? await renew(folder) : await create(folder, values.keepCaKey);
  for (const { path, what, days } of files) {
    const ends = new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
    io.stdout(`${path}: ${what}, ends ${ends}\n`);
  }
  return 0;
}

type PlacedFile = CertificateFile & { readonly path: string };

async function create(folder: string, keepCaKey: boolean): Promise<readonly PlacedFile[]> {
  const files = placeIn(folder, await makeFiles(keepCaKey));
  await refuseExisting(files.map(({ path }) => path));
  await writeAll(folder, files);
  return files;
}

async function renew(folder: string): Promise<readonly PlacedFile[]> {
  const authority = await readAuthority(folder);
  const pairs = [
    ...(await makePair(authority, "client")),
    ...(await makePair(authority, "server")),
  ];
  const files = placeIn(folder, pairs);
  const fresh = files.map((file) => ({ ...file, path: `${file.path}.new` }));
  await refuseExisting(fresh.map(({ path }) => path));
  await writeAll(folder, fresh);
  for (const { path } of files) await rename(`${path}.new`, path);
  return files;
}

async function readAuthority(folder: string): Promise<CertificateAuthority> {
  const [certificate, key] = [join(folder, "ca.crt"), join(folder, "ca.key")];
  try {
    const texts = await Promise.all([readFile(certificate, "utf8"), readFile(key, "utf8")]);
    return await restoreCertificateAuthority(...texts);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : "unknown error";
    throw new StartError(
      `nothing renewed: needs ${certificate} and ${key}, which certs --keep-ca-key writes: ${reason}`,
      { cause },
    );
  }
}

function placeIn(folder: string, files: readonly CertificateFile[]): readonly PlacedFile[] {
  return files.map((file) => ({ ...file, path: join(folder, file.name) }));
}

interface CertificateFile {
  readonly name: string;
  readonly text: string;
  readonly mode: number;
  readonly what: string;
  readonly days: number;
}

async function makeFiles(keepCaKey: boolean): Promise<readonly CertificateFile[]> {
  const days = keepCaKey ? LASTING_DAYS : DAYS;
  const authority = await createCertificateAuthority("idtoken-authz development CA", days);
  const { certificatePem, privateKeyPem } = authority;
  const key = { name: "ca.key", text: privateKeyPem, mode: 0o600, what: "private key of the CA" };
  return [
    { name: "ca.crt", text: certificatePem, mode: 0o644, what: "certificate of the CA", days },
    ...(keepCaKey ? [{ ...key, days }] : []),
    ...(await makePair(authority, "client")),
    ...(await makePair(authority, "server")),
  ];
}

async function makePair(
  authority: CertificateAuthority,
  usage: "client" | "server",
): Promise<readonly CertificateFile[]> {
  const name = `tunnel-${usage}`;
  const days = DAYS;
  const request = { commonName: name, dnsNames: [name], usage, days };
  const { certificatePem, privateKeyPem } = await authority.issue(request);
  const certificate = { name: `${usage}.crt`, text: certificatePem, mode: 0o644 };
  const key = { name: `${usage}.key`, text: privateKeyPem, mode: 0o600 };
  return [
    { ...certificate, what: `certificate of ${name}`, days },
    { ...key, what: `private key of ${name}`, days },
  ];
}

async function refuseExisting(paths: readonly string[]): Promise<void> {
  const found = await Promise.all(
    paths.map(async (path) => {
      // A dangling link counts as existing.
      const exists = await lstat(path).then(
        () => true,
        () => false,
      );
      return exists ? [path] : [];
    }),
  );
  const inTheWay = found.flat();
  if (inTheWay.length > 0) {
    throw new StartError(`nothing written, because these files exist: ${inTheWay.join(", ")}`);
  }
}

async function writeAll(folder: string, files: readonly PlacedFile[]): Promise<void> {
  const written: string[] = [];
  try {
    await mkdir(folder, { recursive: true });
    for (const { path, text, mode } of files) {
      await using file = await open(path, "wx", mode);
      written.push(path);
      await file.writeFile(text);
    }
  } catch (cause) {
    await Promise.all(written.map((path) => rm(path, { force: true })));
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StartError(`nothing written: ${reason}`, { cause });
  }
}
