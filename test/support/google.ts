import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createCertificateAuthority } from "../../src/envoy/certificates.ts";
import { startCloudRun, type CloudRun, type CloudRunService } from "./cloud-run.ts";
import { startKeyedEndpoint, type KeyedEndpoint } from "./keyed-endpoint.ts";

export interface Google extends KeyedEndpoint {
  readonly cloudRun: CloudRun;
  /** The path of the CA certificate (PEM) that signed Cloud Run's. */
  readonly caFile: string;
  /** The flags of `envoy` that direct requests for a service to the stand-in. */
  readonly serviceFlags: (host: string) => readonly string[];
}

export interface GoogleOptions {
  readonly services: readonly CloudRunService[];
  readonly tokenLifeSeconds?: number;
  /** Called for each part when it has started. */
  readonly onStep?: (what: string) => void;
}

/** Starts stand-ins for Google's token endpoint, with one registered account, and for Cloud Run. */
export async function startGoogle(options: GoogleOptions): Promise<Google> {
  await using parts = new AsyncDisposableStack();
  const keyed = parts.use(await startKeyedEndpoint(options));
  const { endpoint, folder } = keyed;
  const ca = await createCertificateAuthority("stand-in for Google's CA");
  const caFile = join(folder, "ca.crt");
  await writeFile(caFile, ca.certificatePem);
  const { services, onStep = () => {} } = options;
  const cloudRun = parts.use(await startCloudRun({ ca, services, verify: endpoint.keys }));
  onStep(`stand-in for Google's token endpoint, ${endpoint.url}`);
  for (const { host } of services) {
    onStep(`stand-in for Cloud Run, https://${host} on port ${cloudRun.port}`);
  }
  const all = parts.move();
  return {
    ...keyed,
    cloudRun,
    caFile,
    serviceFlags: (host) => [
      `--service-url=https://${host}`,
      `--connect-to=127.0.0.1:${cloudRun.port}`,
      `--service-ca=${caFile}`,
    ],
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
