import { join } from "node:path";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "../../src/envoy/certificates.ts";
import { secretFiles } from "../../src/envoy/secret-files.ts";
import { createCredentials, KEY_ACCOUNT } from "./credential-files.ts";
import { startEnvoy, type EnvoyProcess } from "./envoy-process.ts";
import { API_AUDIENCE, API_HOST } from "./gateway.ts";
import { startGoogle, type Google } from "./google.ts";
import { startHttpService } from "./http-service.ts";
import { replaceFiles, type Files } from "./replace-file.ts";
import { readSeries } from "./series.ts";
import { startServer, type ServerProcess } from "./server-process.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

/** The name of a workload in a mesh. */
export const uriOf = (name: string) => `spiffe://cluster.local/ns/shop/sa/${name}`;

/** The account that the policy has for workloads of this name, or of all names with this start. */
export const accountOf = (name: string) =>
  `shop-${name.replace("*", "")}@test-project.iam.gserviceaccount.com`;

export interface SharedServerOptions {
  /** Whose certificates get tokens of an account of their own. */
  readonly clients?: readonly string[];
  /** The same for workloads behind an Envoy. */
  readonly principals?: readonly string[];
  /** The Envoys that are trusted to name the workload. */
  readonly principalsFrom?: readonly string[];
  /** Further flags of `serve`. */
  readonly flags?: readonly string[];
}

/** An auth server over TLS with a policy, and a private service. */
export interface SharedServer extends AsyncDisposable {
  readonly google: Google;
  readonly process: ServerProcess;
  /** The authority of the first certificates. */
  readonly authority: CertificateAuthority;
  /** Replaces `ca.crt`, `server.crt` or `server.key`, and resolves when the new ones are used. */
  readonly useCertificates: (files: Files) => Promise<void>;
  /** The value of a series of its metrics; undefined if it is absent. */
  readonly metric: (series: string) => Promise<number | undefined>;
  /** Starts a gateway with a certificate of this name for the auth server. */
  readonly startEnvoy: (name: string, options?: SharedEnvoyOptions) => Promise<SharedEnvoy>;
}

export interface SharedEnvoyOptions {
  /** Who issued its certificate, and since when it is valid. */
  readonly by?: CertificateAuthority;
  readonly from?: Date;
  /** Certificates (PEM) of the authorities that it trusts; the first one's by default. */
  readonly trusted?: string;
  /** Whether it uses renewed certificates without a restart. */
  readonly follows?: boolean;
  /** Its config; `gateway` by default. */
  readonly config?: "gateway" | "gateway-push";
  /** Further flags of `envoy`. */
  readonly flags?: readonly string[];
  /** Changes the config before Envoy starts. */
  readonly edit?: (config: string) => string;
}

export interface SharedEnvoy extends AsyncDisposable {
  readonly envoy: EnvoyProcess;
  readonly url: string;
  /** The folder of its certificates for the auth server. */
  readonly certDir: string;
}

/** Issues the certificate of a client with this name. */
export async function issueClient(
  authority: CertificateAuthority,
  name: string,
  from = new Date(),
): Promise<Files> {
  const names = { commonName: name, dnsNames: [name], uris: [uriOf(name)] };
  const issued = await authority.issue({ ...names, usage: "client", days: 1, from });
  return { "client.crt": issued.certificatePem, "client.key": issued.privateKeyPem };
}

/** Issues the certificate of the auth server. */
export async function issueServer(authority: CertificateAuthority): Promise<Files> {
  const names = { commonName: "localhost", dnsNames: ["localhost"] };
  const issued = await authority.issue({ ...names, usage: "server", days: 1 });
  return { "server.crt": issued.certificatePem, "server.key": issued.privateKeyPem };
}

/** Starts the service, the stand-ins for Google and the auth server. */
export async function startSharedServer(options: SharedServerOptions): Promise<SharedServer> {
  await using parts = new AsyncDisposableStack();
  const container = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello") }),
  );
  const service = { host: API_HOST, audiences: [API_AUDIENCE], ...container };
  const google = parts.use(await startGoogle({ services: [service] }));
  const world = parts.use(await createCredentials(google.endpoint));
  const { clients = [], principals = [] } = options;
  for (const name of [...clients, ...principals]) {
    world.apis.policy.grant(accountOf(name), KEY_ACCOUNT);
  }
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const authority = await createCertificateAuthority("test CA");
  await replaceFiles(folder, {
    "ca.crt": authority.certificatePem,
    "policy.yaml": JSON.stringify(policyFor(options)),
    ...(await issueServer(authority)),
  });
  const files = {
    "tls-cert": "server.crt",
    "tls-key": "server.key",
    "client-ca": "ca.crt",
    policy: "policy.yaml",
  };
  const flags = Object.entries(files).map(([flag, name]) => `--${flag}=${join(folder, name)}`);
  flags.push("--admin-listen=127.0.0.1:0", ...(options.flags ?? []));
  flags.push(`--credentials=${await world.write(world.files.serviceAccount)}`);
  const server = parts.use(await startServer(flags, world.env));
  const { adminListen } = await server.event("listening");
  const all = parts.move();
  return {
    google,
    process: server,
    authority,
    useCertificates: (changed) => useCertificates(server, folder, changed),
    metric: async (series) => {
      const answer = await fetch(`http://${String(adminListen)}/metrics`);
      return readSeries(await answer.text(), series);
    },
    startEnvoy: (name, how = {}) => startSharedEnvoy({ google, server, authority }, name, how),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function policyFor({ clients = [], principals = [], principalsFrom }: SharedServerOptions) {
  const entries = (kind: string, names: readonly string[]) =>
    names.map((name) => ({
      [kind]: uriOf(name),
      audiences: [API_AUDIENCE],
      impersonate: accountOf(name),
    }));
  return {
    callers: [...entries("client", clients), ...entries("principal", principals)],
    ...(principalsFrom && { principals_from: principalsFrom.map(uriOf) }),
  };
}

async function useCertificates(server: ServerProcess, folder: string, files: Files): Promise<void> {
  const changes = () => server.lines().filter(({ event }) => event === "tls_changed").length;
  const before = changes();
  await replaceFiles(folder, files);
  server.signal("SIGHUP");
  // The lines are shown to this function in their order, once each.
  let seen = 0;
  await server.line(({ event }) => event === "tls_changed" && ++seen > before);
}

async function startSharedEnvoy(
  {
    google,
    server,
    authority,
  }: Pick<SharedServer, "google" | "authority"> & {
    readonly server: ServerProcess;
  },
  name: string,
  options: SharedEnvoyOptions,
): Promise<SharedEnvoy> {
  const {
    by = authority,
    from,
    trusted,
    follows = false,
    config = "gateway",
    flags = [],
    edit,
  } = options;
  await using parts = new AsyncDisposableStack();
  const { path: certDir } = parts.use(await makeTemporaryFolder());
  await replaceFiles(certDir, {
    "ca.crt": trusted ?? authority.certificatePem,
    ...(await issueClient(by, name, from)),
    ...(follows && Object.fromEntries(secretFiles(certDir).map((file) => [file.name, file.text]))),
  });
  const port = server.address.split(":").at(-1);
  const envoy = parts.use(
    await startEnvoy(
      config,
      [
        ...google.serviceFlags(API_HOST),
        "--listen=127.0.0.1:0",
        `--authz=https://localhost:${port}`,
        `--authz-cert-dir=${certDir}`,
        ...flags,
      ],
      edit,
    ),
  );
  const all = parts.move();
  return {
    envoy,
    url: `http://127.0.0.1:${envoy.port("http")}`,
    certDir,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
