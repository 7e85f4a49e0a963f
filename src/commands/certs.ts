import { lstat, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { createCertificateAuthority, type CertificateAuthority } from "../envoy/certificates.ts";
import { StartError, UsageError } from "../system/errors.ts";
import { parseSettings } from "../settings/table.ts";

const DAYS = 90;

/** The output of `certs --help`. */
export const certsHelp = () => `Usage: idtoken-authz certs DIR

Creates a development CA and the tunnel's two certificates in DIR, which it creates if necessary:
ca.crt, client.crt, client.key, server.crt and server.key, valid for ${DAYS} days. The CA's key is
discarded, so that nobody can issue further certificates: create a new set before these expire.
Overwrites nothing.
`;

/**
 * Creates a CA, a client and a server certificate in a folder and prints their paths. Resolves
 * with the exit code 0. Throws a UsageError, or a StartError that names every existing file or the
 * reason why it cannot write; it then leaves no file behind.
 */
export async function certsCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  io: { readonly stdout: (text: string) => void },
): Promise<number> {
  const [folder = ""] = parseSettings({}, argv, env, ["DIR"]).positionals;
  if (folder === "") throw new UsageError(["DIR: must be a path"]);
  const made = await makeFiles();
  const files = made.map((file) => ({ ...file, path: join(folder, file.name) }));
  await refuseExisting(files.map(({ path }) => path));
  await writeAll(folder, files);
  const ends = new Date(Date.now() + DAYS * 86_400_000).toISOString().slice(0, 10);
  for (const { path, what } of files) io.stdout(`${path}: ${what}, ends ${ends}\n`);
  return 0;
}

interface CertificateFile {
  readonly name: string;
  readonly text: string;
  readonly mode: number;
  readonly what: string;
}

async function makeFiles(): Promise<readonly CertificateFile[]> {
  const authority = await createCertificateAuthority("idtoken-authz development CA", DAYS);
  return [
    {
      name: "ca.crt",
      text: authority.certificatePem,
      mode: 0o644,
      what: "certificate of the CA",
    },
    ...(await makePair(authority, "client")),
    ...(await makePair(authority, "server")),
  ];
}

async function makePair(
  authority: CertificateAuthority,
  usage: "client" | "server",
): Promise<readonly CertificateFile[]> {
  const name = `tunnel-${usage}`;
  const request = { commonName: name, dnsNames: [name], usage, days: DAYS };
  const { certificatePem, privateKeyPem } = await authority.issue(request);
  return [
    { name: `${usage}.crt`, text: certificatePem, mode: 0o644, what: `certificate of ${name}` },
    { name: `${usage}.key`, text: privateKeyPem, mode: 0o600, what: `private key of ${name}` },
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

async function writeAll(
  folder: string,
  files: readonly (CertificateFile & { readonly path: string })[],
): Promise<void> {
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
