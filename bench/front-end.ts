import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createCertificateAuthority } from "../src/envoy/certificates.ts";
import { composeYaml } from "../src/envoy/compose.ts";
import { startEnvoyOn } from "../test/support/envoy-process.ts";
import { startGoogle } from "../test/support/google.ts";
import { startServer, type ServerProcess } from "../test/support/server-process.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";

const HOST = "bench-abc123-ew.a.run.app";

export interface FrontEnd extends AsyncDisposable {
  readonly authServer: ServerProcess;
  /** The path of the auth server's credential. */
  readonly keyFile: string;
  readonly serviceUrl: string;
  /** The front end's HOST:PORT. */
  readonly connectTo: string;
  /** The path of the certificate of its CA. */
  readonly serviceCa: string;
  /** The flags of `envoy` and `up` that direct requests for the service to this front end. */
  readonly serviceFlags: readonly string[];
  /** The same with those of `envoy` for the auth server and a free port. */
  readonly flags: readonly string[];
}

/**
 * Starts an auth server, its token endpoint and an Envoy as a stand-in for Cloud Run's front end,
 * which passes tunnels to the container's port (h2c) and answers other requests itself.
 */
export async function startFrontEnd(containerPort = 0): Promise<FrontEnd> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const { keyFile } = parts.use(await startGoogle({ services: [] }));
  const authServer = parts.use(
    await startServer([`--credentials=${keyFile}`, `--audience=https://${HOST}`]),
  );
  const { ca, certificate, key } = await writeCertificates(folder);
  const config = composeYaml("front-end", {
    read: (file) => readFileSync(join(import.meta.dirname, file), "utf8"),
    isOn: () => false,
    values: { CERTIFICATE: certificate, KEY: key, CONTAINER_PORT: containerPort },
  });
  const envoy = parts.use(await startEnvoyOn(config, "front end"));
  const serviceUrl = `https://${HOST}`;
  const connectTo = `127.0.0.1:${envoy.port("tls")}`;
  const serviceFlags = [
    `--service-url=${serviceUrl}`,
    `--connect-to=${connectTo}`,
    `--service-ca=${ca}`,
  ];
  const all = parts.move();
  return {
    authServer,
    keyFile,
    serviceUrl,
    connectTo,
    serviceCa: ca,
    serviceFlags,
    flags: [...serviceFlags, `--authz=${authServer.address}`, "--listen=127.0.0.1:0"],
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Writes the certificates of the CA and the server, and the server's key; returns their paths. */
async function writeCertificates(folder: string) {
  const authority = await createCertificateAuthority("stand-in for Google's CA");
  const request = { commonName: HOST, dnsNames: [HOST], usage: "server", days: 1 } as const;
  const issued = await authority.issue(request);
  const ca = join(folder, "ca.crt");
  const certificate = join(folder, "tls.crt");
  const key = join(folder, "tls.key");
  await writeFile(ca, authority.certificatePem);
  await writeFile(certificate, issued.certificatePem);
  await writeFile(key, issued.privateKeyPem, { mode: 0o600 });
  return { ca, certificate, key };
}
