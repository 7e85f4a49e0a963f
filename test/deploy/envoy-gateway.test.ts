import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCertificateAuthority,
  type CertificateRequest,
} from "../../src/envoy/certificates.ts";
import { runCommand } from "../support/command.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { findFreePort } from "../support/loopback.ts";
import { replaceFiles } from "../support/replace-file.ts";
import { ROOT, startServer, type ServerProcess } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startEnvoyGateway, type EnvoyGatewayOptions } from "./envoy-gateway.ts";

const SERVICES = ["api", "billing"].map((name) => `${name}-abc123-ew.a.run.app`);
const AUDIENCES = SERVICES.map((host) => `https://${host}`);

/** The names in deploy/: of the auth server's certificate and of the gateway's. */
const AUTH_SERVER_HOST = "idtoken-authz.idtoken-authz.svc";
const ENVOY_GATEWAY = "spiffe://cluster.local/ns/envoy-gateway-system/sa/envoy";

const parts = new AsyncDisposableStack();
let google: Google;
let authServer: ServerProcess;

beforeAll(async () => {
  const container = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello") }),
  );
  const services = SERVICES.map((host) => ({ host, audiences: [`https://${host}`], ...container }));
  google = parts.use(await startGoogle({ services }));
  authServer = parts.use(
    await startServer([`--credentials=${google.keyFile}`, `--audience=${AUDIENCES.join(",")}`]),
  );
});
afterAll(() => parts.disposeAsync());

const start = async (
  policy: EnvoyGatewayOptions["policy"],
  options: Partial<EnvoyGatewayOptions> = {},
) =>
  startEnvoyGateway({
    policy,
    authServerPort: Number(new URL(authServer.url).port),
    cloudRunPort: google.cloudRun.port,
    ca: await readFile(google.caFile, "utf8"),
    ...options,
  });

/** Starts an auth server over TLS with the policy of deploy/auth-server-tls, for that host name. */
async function startTlsServer(host: string) {
  await using own = new AsyncDisposableStack();
  const { path: folder } = own.use(await makeTemporaryFolder());
  const authority = await createCertificateAuthority("test CA");
  const issue = (request: Pick<CertificateRequest, "dnsNames" | "uris" | "usage">) =>
    authority.issue({ commonName: "test", days: 1, ...request });
  const server = await issue({ usage: "server", dnsNames: [host] });
  const client = await issue({ usage: "client", dnsNames: [], uris: [ENVOY_GATEWAY] });
  await replaceFiles(folder, {
    "ca.crt": authority.certificatePem,
    "server.crt": server.certificatePem,
    "server.key": server.privateKeyPem,
  });
  // As its own account: impersonation is no concern of the gateway's.
  const policy = await readFile(join(ROOT, "deploy/auth-server-tls/policy.yaml"), "utf8");
  await replaceFiles(folder, { "policy.yaml": policy.replace(/^ *impersonate:.*$/m, "") });
  const process = own.use(
    await startServer([
      `--credentials=${google.keyFile}`,
      `--tls-cert=${join(folder, "server.crt")}`,
      `--tls-key=${join(folder, "server.key")}`,
      `--client-ca=${join(folder, "ca.crt")}`,
      `--policy=${join(folder, "policy.yaml")}`,
      "--admin-listen=127.0.0.1:0",
    ]),
  );
  const all = own.move();
  return {
    options: {
      authServerPort: Number(process.address.split(":").at(-1)),
      client: {
        "tls.crt": client.certificatePem,
        "tls.key": client.privateKeyPem,
        "ca.crt": authority.certificatePem,
      },
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Sends a request for a host to the gateway; returns the body and the audience of its token. */
async function send(port: number, host: string) {
  const url = `http://127.0.0.1:${port}/`;
  const body = await runCommand("curl", ["-sS", "-H", `Host: ${host}`, url]);
  return { body, audience: google.cloudRun.requests.at(-1)?.identity?.audience };
}

/** The status of the answer to a request for the first service. */
function statusOf(port: number): Promise<string> {
  const flags = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: api.example.com"];
  return runCommand("curl", [...flags, `http://127.0.0.1:${port}/`]);
}

describe("Envoy Gateway with the files of deploy/envoy-gateway", () => {
  it("sends a token for the default audience by HTTP checks", async () => {
    await using gateway = await start("security-policy.yaml");
    const [audience] = AUDIENCES;
    expect(await send(gateway.port, "api.example.com")).toEqual({ body: "hello", audience });
  });

  it("sends a token for each route's own audience by gRPC checks", async () => {
    await using gateway = await start("security-policy-grpc.yaml");
    const [api, billing] = AUDIENCES;
    expect(await send(gateway.port, "api.example.com")).toEqual({ body: "hello", audience: api });
    expect(await send(gateway.port, "billing.example.com")).toEqual({
      body: "hello",
      audience: billing,
    });
  });

  it("sends a token that it got over TLS, with a client certificate", async () => {
    await using server = await startTlsServer(AUTH_SERVER_HOST);
    await using gateway = await start("security-policy-tls.yaml", server.options);
    const [audience] = AUDIENCES;
    expect(await send(gateway.port, "api.example.com")).toEqual({ body: "hello", audience });
  });

  it("asks no auth server whose certificate is for another host", async () => {
    await using server = await startTlsServer("other.example.com");
    await using gateway = await start("security-policy-tls.yaml", server.options);
    const before = google.cloudRun.requests.length;
    expect(await statusOf(gateway.port)).toBe("503");
    expect(google.cloudRun.requests).toHaveLength(before);
  });

  it.each(["security-policy.yaml", "security-policy-grpc.yaml"] as const)(
    "answers 503 and sends nothing to Cloud Run without an auth server: %s",
    async (policy) => {
      await using gateway = await start(policy, { authServerPort: await findFreePort() });
      const before = google.cloudRun.requests.length;
      expect(await statusOf(gateway.port)).toBe("503");
      expect(google.cloudRun.requests).toHaveLength(before);
    },
  );
});
