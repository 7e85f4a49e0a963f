import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as connectSocket, type AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { connect, type ConnectionOptions } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "../../../src/envoy/certificates.ts";
import { openTlsFiles, type TlsFiles } from "../../../src/access/tls-files.ts";
import { clientNames } from "../../../src/access/client-names.ts";
import { terminateTls } from "../../../src/http/tls.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

/** How a client sees the end of its handshake. */
const REFUSED = /alert|ECONNRESET|socket hang up|unsupported protocol/i;
const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const parts = new AsyncDisposableStack();
let authority: CertificateAuthority;
let stranger: CertificateAuthority;
let folder = "";

beforeAll(async () => {
  authority = await createCertificateAuthority("test CA");
  stranger = await createCertificateAuthority("another CA");
  ({ path: folder } = parts.use(await makeTemporaryFolder()));
  await writeFile(join(folder, "ca.crt"), authority.certificatePem);
  await renew("localhost");
});
afterAll(() => parts.disposeAsync());

/** Writes a new certificate and key of the server. */
async function renew(dnsName: string): Promise<void> {
  const names = { commonName: dnsName, dnsNames: [dnsName], ipAddresses: ["127.0.0.1"] };
  const issued = await authority.issue({ ...names, usage: "server", days: 1 });
  await writeFile(join(folder, "server.crt"), issued.certificatePem);
  await writeFile(join(folder, "server.key"), issued.privateKeyPem);
}

/** A client's certificate, valid unless it is told otherwise. */
async function certificate(by = authority, from = new Date()) {
  const names = { commonName: "web", dnsNames: ["web.example.com"], uris: [WEB] };
  const issued = await by.issue({ ...names, usage: "client", days: 1, from });
  return { cert: issued.certificatePem, key: issued.privateKeyPem };
}

interface TestServer extends AsyncDisposable {
  readonly port: number;
  readonly files: TlsFiles;
  readonly events: readonly string[];
  /** How many it has open. */
  readonly connections: () => Promise<number>;
}

/** A server that answers with the names of its client. */
async function start(withClientCa = true): Promise<TestServer> {
  const events: string[] = [];
  const server: Server = createServer((request, response) => {
    response.end(JSON.stringify(clientNames(request.socket)));
  });
  const clientCa = withClientCa ? join(folder, "ca.crt") : undefined;
  const paths = { cert: join(folder, "server.crt"), key: join(folder, "server.key"), clientCa };
  const files = await openTlsFiles(paths, systemClock, {
    tlsChanged: () => events.push("changed"),
    tlsUnusable: ({ message }) => events.push(message),
  });
  terminateTls(server, { files, onRefused: () => events.push("refused") });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    port: (server.address() as AddressInfo).port,
    files,
    events,
    connections: promisify(server.getConnections.bind(server)),
    [Symbol.asyncDispose]: async () => {
      files.close();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function get({ port }: TestServer, options: ConnectionOptions = {}): Promise<unknown> {
  const ca = authority.certificatePem;
  const sent = httpsRequest({ port, host: "127.0.0.1", ca, agent: false, ...options }).end();
  const [response] = await once(sent, "response");
  return JSON.parse(await text(response));
}

describe("a client of a server with TLS", () => {
  it("is known by the DNS names and URIs of its certificate", async () => {
    await using server = await start();
    expect(await get(server, await certificate())).toEqual(["web.example.com", WEB]);
  });

  it.each(["TLSv1.2", "TLSv1.3"] as const)("is known after a resumption (%s)", async (version) => {
    await using server = await start();
    const options = {
      port: server.port,
      ca: authority.certificatePem,
      ...(await certificate()),
      minVersion: version,
      maxVersion: version,
    };
    let session: Buffer | undefined;
    for (const isReused of [false, true]) {
      const socket = connect({ ...options, ...(session && { session }) });
      const next = once(socket, "session") as Promise<[Buffer]>;
      await once(socket, "secureConnect");
      expect(socket.isSessionReused()).toBe(isReused);
      socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
      expect(await text(socket)).toContain(WEB);
      if (!isReused) [session] = await next;
    }
  });

  it("is refused in the handshake without a certificate", async () => {
    await using server = await start();
    await expect(get(server)).rejects.toThrow(REFUSED);
    await expect.poll(() => server.events).toEqual(["refused"]);
  });

  it("is refused in the handshake with another authority's certificate or an expired one", async () => {
    await using server = await start();
    await expect(get(server, await certificate(stranger))).rejects.toThrow(REFUSED);
    const longAgo = new Date(Date.now() - 10 * 86_400_000);
    await expect(get(server, await certificate(authority, longAgo))).rejects.toThrow(REFUSED);
    await expect.poll(() => server.events).toEqual(["refused", "refused"]);
  });

  it("needs no certificate if the server has no authorities for clients, and has no name then", async () => {
    await using server = await start(false);
    expect(await get(server)).toEqual([]);
    expect(await get(server, await certificate())).toEqual([]);
  });

  it("is forgotten if it leaves during its handshake", async () => {
    await using server = await start();
    const leaving = connectSocket(server.port, "127.0.0.1");
    await once(leaving, "connect");
    await expect.poll(() => server.connections()).toBe(1);
    leaving.end();
    // The time for a handshake is longer.
    await expect.poll(() => server.connections(), { timeout: 5000 }).toBe(0);
    expect(server.events).toEqual(["refused"]);
  });

  it("may not use TLS 1.1", async () => {
    await using server = await start();
    const version = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1" } as const;
    const old = { ...(await certificate()), ...version, ciphers: "DEFAULT@SECLEVEL=0" };
    await expect(get(server, old)).rejects.toThrow(REFUSED);
  });
});
