import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "../../src/envoy/certificates.ts";
import { createCredentials, KEY_ACCOUNT } from "../support/credential-files.ts";
import { startEnvoy, type EnvoyProcess } from "../support/envoy-process.ts";
import { API_AUDIENCE, API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const NAMES = ["web", "cart"] as const;
const uriOf = (name: string) => `spiffe://cluster.local/ns/shop/sa/${name}`;
const accountOf = (name: string) => `shop-${name}@test-project.iam.gserviceaccount.com`;
const ROTATIONS = 5;
const DAY_MS = 86_400_000;

const parts = new AsyncDisposableStack();
let authority: CertificateAuthority;
let google: Google;
let server: ServerProcess;
let folder = "";

beforeAll(async () => {
  const container = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello") }),
  );
  const service = { host: API_HOST, audiences: [API_AUDIENCE], ...container };
  google = parts.use(await startGoogle({ services: [service] }));
  const world = parts.use(await createCredentials(google.endpoint));
  for (const name of NAMES) world.apis.policy.grant(accountOf(name), KEY_ACCOUNT);
  ({ path: folder } = parts.use(await makeTemporaryFolder()));
  authority = await createCertificateAuthority("test CA");
  await writeFile(join(folder, "ca.crt"), authority.certificatePem);
  await renewCertificate();
  const callers = NAMES.map((name) => {
    return { client: uriOf(name), audiences: [API_AUDIENCE], impersonate: accountOf(name) };
  });
  await writeFile(join(folder, "policy.yaml"), JSON.stringify({ callers }));
  const credentials = await world.write(world.files.serviceAccount);
  const flags = [
    `--credentials=${credentials}`,
    `--tls-cert=${join(folder, "server.crt")}`,
    `--tls-key=${join(folder, "server.key")}`,
    `--client-ca=${join(folder, "ca.crt")}`,
    `--policy=${join(folder, "policy.yaml")}`,
    "--admin-listen=127.0.0.1:0",
  ];
  server = parts.use(await startServer(flags, world.env));
});
afterAll(() => parts.disposeAsync());

async function renewCertificate(): Promise<void> {
  const names = { commonName: "localhost", dnsNames: ["localhost"] };
  const issued = await authority.issue({ ...names, usage: "server", days: 1 });
  const files = { "server.crt": issued.certificatePem, "server.key": issued.privateKeyPem };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, "new"), content);
    await rename(join(folder, "new"), join(folder, name));
  }
}

/** Starts a gateway whose certificate for the auth server has this caller's name. */
async function startAs(
  name: string,
  { by = authority, from = new Date() }: { by?: CertificateAuthority; from?: Date } = {},
): Promise<EnvoyProcess> {
  const { path } = parts.use(await makeTemporaryFolder());
  const names = { commonName: name, dnsNames: [name], uris: [uriOf(name)] };
  const issued = await by.issue({ ...names, usage: "client", days: 1, from });
  await writeFile(join(path, "ca.crt"), authority.certificatePem);
  await writeFile(join(path, "client.crt"), issued.certificatePem);
  await writeFile(join(path, "client.key"), issued.privateKeyPem, { mode: 0o600 });
  const port = server.address.split(":").at(-1);
  return startEnvoy("gateway", [
    ...google.serviceFlags(API_HOST),
    "--listen=127.0.0.1:0",
    `--authz=https://localhost:${port}`,
    `--authz-cert-dir=${path}`,
  ]);
}

const urlOf = (envoy: EnvoyProcess) => `http://127.0.0.1:${envoy.port("http")}`;

describe("Envoys that share an auth server over TLS", () => {
  it("reach the service each as its own account", async () => {
    for (const name of NAMES) {
      await using envoy = await startAs(name);
      expect((await fetch(urlOf(envoy))).status).toBe(200);
      const { identity } = google.cloudRun.requests.at(-1) ?? {};
      expect(identity).toMatchObject({ audience: API_AUDIENCE, email: accountOf(name) });
    }
  });

  it("lose no request while the server's certificate is renewed several times", async () => {
    await using envoy = await startAs("web");
    const load = startLoad(4, httpAttempt(urlOf(envoy)));
    for (let renewal = 1; renewal <= ROTATIONS; renewal++) {
      await load.more(20);
      await renewCertificate();
      server.signal("SIGHUP");
      const changes = () => server.lines().filter(({ event }) => event === "tls_changed").length;
      await expect.poll(changes, { timeout: 10_000 }).toBeGreaterThanOrEqual(renewal);
      await using fresh = await startAs("cart");
      expect((await fetch(urlOf(fresh))).status).toBe(200);
    }
    await load.more(20);
    expect(await load.stop()).toEqual({ ok: expect.any(Number) });
  });

  it("get 403 under a name that the policy does not have", async () => {
    await using envoy = await startAs("other");
    expect((await fetch(urlOf(envoy))).status).toBe(403);
  });

  it.each(["of another authority", "that has expired"])(
    "get no token with a certificate %s",
    async (what) => {
      const isExpired = what === "that has expired";
      const by = isExpired ? authority : await createCertificateAuthority("another CA");
      const from = new Date(Date.now() - (isExpired ? 2 * DAY_MS : 0));
      const before = google.cloudRun.requests.length;
      await using envoy = await startAs("web", { by, from });
      expect((await fetch(urlOf(envoy))).status).toBe(503);
      expect(google.cloudRun.requests).toHaveLength(before);
    },
  );
});
