import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createCertificateAuthority } from "../../src/envoy/certificates.ts";
import { startCloudRun, type CloudRun, type CloudRunService } from "./cloud-run.ts";
import { startKeyedEndpoint, type KeyedEndpoint } from "./keyed-endpoint.ts";

export interface Google extends KeyedEndpoint {
  readonly cloudRun: CloudRun;
  /** PEM of the authority behind Cloud Run's certificate. */
  readonly caFile: string;
  /** The flags with which `envoy` sends requests for a service here. */
  readonly serviceFlags: (host: string) => readonly string[];
}

export interface GoogleOptions {
  readonly services: readonly CloudRunService[];
  readonly tokenLifeSeconds?: number;
  /** Told of each part as it comes up. */
  readonly onStep?: (what: string) => void;
}

/** Starts the stand-ins for Google: a token endpoint that knows one account, and Cloud Run. */
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
