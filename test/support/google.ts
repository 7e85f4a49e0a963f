import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createCertificateAuthority } from "../../src/certificates.ts";
import { startCloudRun, type CloudRun, type CloudRunService } from "./cloud-run.ts";
import { createServiceAccount, type ServiceAccount } from "./service-account.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";
import { startTokenEndpoint, type TokenEndpoint } from "./token-endpoint.ts";

export interface Google extends AsyncDisposable {
  readonly endpoint: TokenEndpoint;
  readonly cloudRun: CloudRun;
  /** An account that the endpoint knows, and its key file. */
  readonly account: ServiceAccount;
  readonly keyFile: string;
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
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const endpoint = parts.use(await startTokenEndpoint(options));
  const account = createServiceAccount({ tokenUri: endpoint.url });
  endpoint.register(account);
  const keyFile = join(folder, "key.json");
  await account.writeTo(keyFile);
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
    endpoint,
    cloudRun,
    account,
    keyFile,
    caFile,
    serviceFlags: (host) => [
      `--service-url=https://${host}`,
      `--connect-to=127.0.0.1:${cloudRun.port}`,
      `--service-ca=${caFile}`,
    ],
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
