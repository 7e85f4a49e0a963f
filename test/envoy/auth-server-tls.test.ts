import { once } from "node:events";
import { rename, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificateAuthority } from "../../src/envoy/certificates.ts";
import { secretFiles } from "../../src/envoy/secret-files.ts";
import { startEnvoy } from "../support/envoy-process.ts";
import { API_AUDIENCE, API_HOST, startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { listenOnLoopback } from "../support/loopback.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const parts = new AsyncDisposableStack();
let gateway: Gateway;
let certDir = "";
/** Where TLS ends in front of the auth server, by the host name of the certificate there. */
const ports = { localhost: 0, other: 0 };
/** The names of the clients that connected. */
const clients: string[] = [];

/** The connections to the fronts. */
const open = new Set<Socket>();
let authority: Awaited<ReturnType<typeof createCertificateAuthority>>;

/** Replaces the client's certificate and key. */
async function writeClient(name: string): Promise<void> {
  const names = { commonName: name, dnsNames: [name] };
  const client = await authority.issue({ ...names, usage: "client", days: 1 });
  const files = { "client.crt": client.certificatePem, "client.key": client.privateKeyPem };
  for (const [file, text] of Object.entries(files)) {
    await writeFile(join(certDir, `${file}.new`), text, { mode: 0o600 });
    await rename(join(certDir, `${file}.new`), join(certDir, file));
  }
}

/** Starts TLS in front of the auth server, for clients with a certificate of the CA. */
async function startFront(host: string, to: number): Promise<number> {
  const request = { commonName: host, dnsNames: [host], usage: "server", days: 1 } as const;
  const { certificatePem: cert, privateKeyPem: key } = await authority.issue(request);
  const options = { cert, key, ca: authority.certificatePem, requestCert: true };
  const server = createServer(options, (socket) => {
    clients.push(String(socket.getPeerCertificate().subject.CN));
    pipeline(socket, connect(to, "127.0.0.1"), socket).catch(() => {});
  });
  server.on("connection", (socket: Socket) => open.add(socket));
  server.on("tlsClientError", () => {});
  const port = await listenOnLoopback(server);
  parts.defer(async () => {
    server.close();
    for (const socket of open) socket.destroy();
    await once(server, "close");
  });
  return port;
}

beforeAll(async () => {
  const container = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello") }),
  );
  gateway = parts.use(await startGateway({ container }));
  authority = await createCertificateAuthority("CA of the auth server");
  const to = Number(gateway.authServer.address.split(":").at(-1));
  ports.localhost = await startFront("localhost", to);
  ports.other = await startFront("other.example.com", to);
  certDir = parts.use(await makeTemporaryFolder()).path;
  await writeFile(join(certDir, "ca.crt"), authority.certificatePem);
  await writeClient("envoy-1");
});
afterAll(() => parts.disposeAsync());

const flagsFor = (port: number) => [
  ...gateway.google.serviceFlags(API_HOST),
  "--listen=127.0.0.1:0",
  `--authz=https://localhost:${port}`,
  `--authz-cert-dir=${certDir}`,
];

describe("Envoy with an auth server over TLS", () => {
  it.each(["gateway", "gateway-push"])(
    "shows its certificate and gets tokens: %s",
    async (name) => {
      clients.length = 0;
      await using envoy = await startEnvoy(name, flagsFor(ports.localhost));
      const response = await fetch(`http://127.0.0.1:${envoy.port("http")}`);
      expect(await response.text()).toBe("hello");
      expect(gateway.google.cloudRun.requests.at(-1)?.identity?.audience).toBe(API_AUDIENCE);
      expect(new Set(clients)).toEqual(new Set(["envoy-1"]));
    },
  );

  it("shows a renewed certificate on new connections, without a restart", async () => {
    for (const { name, text } of secretFiles(certDir)) await writeFile(join(certDir, name), text);
    clients.length = 0;
    await using envoy = await startEnvoy("gateway", flagsFor(ports.localhost));
    const url = `http://127.0.0.1:${envoy.port("http")}`;
    expect(await (await fetch(url)).text()).toBe("hello");
    await writeClient("envoy-2");
    await expect
      .poll(
        async () => {
          for (const socket of open) socket.destroy();
          await (await fetch(url)).text();
          return clients.at(-1);
        },
        { timeout: 10_000 },
      )
      .toBe("envoy-2");
    expect(clients[0]).toBe("envoy-1");
  });

  it("asks no server whose certificate is for another host", async () => {
    const before = gateway.google.cloudRun.requests.length;
    await using envoy = await startEnvoy("gateway", flagsFor(ports.other));
    const response = await fetch(`http://127.0.0.1:${envoy.port("http")}`);
    expect(response.status).toBe(503);
    expect(gateway.google.cloudRun.requests).toHaveLength(before);
  });
});
