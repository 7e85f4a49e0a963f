import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "../../src/envoy/certificates.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

/** A certificate and its key (PEM), as TLS takes them. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
}

/** The files of a server that callers share: certificates and a policy, all replaceable. */
export interface SharedFiles extends AsyncDisposable {
  /** The flags of `serve` that name the files. */
  readonly flags: readonly string[];
  readonly authority: CertificateAuthority;
  readonly writePolicy: (text: string) => Promise<void>;
  /** Issues a certificate for a server on 127.0.0.1. */
  readonly issueServer: () => Promise<TlsIdentity>;
  /** Replaces the server's certificate. */
  readonly renewCertificate: () => Promise<void>;
  /** Issues a client's certificate with this name. */
  readonly issue: (uri: string, by?: CertificateAuthority) => Promise<TlsIdentity>;
}

/** Creates the certificates in a temporary folder. A policy has to be written before the start. */
export async function createSharedFiles(): Promise<SharedFiles> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const authority = await createCertificateAuthority("test CA");
  const path = (name: string) => join(folder, name);

  async function replace(name: string, content: string): Promise<void> {
    await writeFile(path(`${name}.new`), content);
    await rename(path(`${name}.new`), path(name));
  }

  async function issueServer(): Promise<TlsIdentity> {
    const names = { commonName: "auth server", dnsNames: ["authz"], ipAddresses: ["127.0.0.1"] };
    const issued = await authority.issue({ ...names, usage: "server", days: 1 });
    return { cert: issued.certificatePem, key: issued.privateKeyPem };
  }

  async function renewCertificate(): Promise<void> {
    const { cert, key } = await issueServer();
    await replace("server.crt", cert);
    await replace("server.key", key);
  }

  async function issue(uri: string, by = authority): Promise<TlsIdentity> {
    const names = { commonName: "client", dnsNames: ["client.example.com"], uris: [uri] };
    const issued = await by.issue({ ...names, usage: "client", days: 1 });
    return { cert: issued.certificatePem, key: issued.privateKeyPem };
  }

  await writeFile(path("ca.crt"), authority.certificatePem);
  await renewCertificate();
  const named = { "tls-cert": "server.crt", "tls-key": "server.key", "client-ca": "ca.crt" };
  const files = Object.entries({ ...named, policy: "policy.yaml" });
  const all = parts.move();
  return {
    flags: files.map(([flag, name]) => `--${flag}=${path(name)}`),
    authority,
    writePolicy: (text) => replace("policy.yaml", text),
    issueServer,
    renewCertificate,
    issue,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
