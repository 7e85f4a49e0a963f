import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBareTunnel, type BareTunnelOptions } from "../support/bare-tunnel.ts";
import { startEnvoy } from "../support/envoy-process.ts";
import { runOrThrow } from "../support/server-process.ts";
import { BANNER, readBanner } from "../support/tcp-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTunnel, TUNNEL_AUDIENCE, TUNNEL_HOST, type Tunnel } from "../support/tunnel.ts";

const BANNER_TIMEOUT = { timeoutMs: 10_000 };

/** Reads everything that a tunnel sends until it ends the connection. */
async function drain(port: number, send?: (socket: Socket) => void): Promise<Buffer> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  send?.(socket);
  return buffer(socket);
}

describe("the tunnel", () => {
  let tunnel: Tunnel;
  beforeAll(async () => {
    tunnel = await startTunnel();
  });
  afterAll(() => tunnel[Symbol.asyncDispose]());

  it("carries a TCP connection to the server in a private service, as its invoker", async () => {
    const { google, port } = tunnel;
    const request = google.cloudRun.nextRequest();
    expect(await readBanner(port, BANNER_TIMEOUT)).toMatch(/^Congrats!/);
    expect(await request).toMatchObject({
      service: TUNNEL_HOST,
      method: "POST",
      status: 200,
      identity: { email: google.account.clientEmail, audience: TUNNEL_AUDIENCE },
    });
  });

  it("opens one stream per connection with one token for all of them", async () => {
    const { google, port } = tunnel;
    const requests = google.cloudRun.requests.length;
    const exchanges = google.endpoint.exchanges.length;
    await Promise.all(Array.from({ length: 50 }, () => readBanner(port, BANNER_TIMEOUT)));
    expect(google.cloudRun.requests).toHaveLength(requests + 50);
    expect(google.endpoint.exchanges).toHaveLength(exchanges);
  });

  it("carries every byte in both directions", async () => {
    const sent = randomBytes(16 * 1024 * 1024);
    const socket = connect(tunnel.port, "127.0.0.1");
    socket.write(sent);
    const received: Buffer[] = [];
    let length = 0;
    for await (const chunk of socket) {
      received.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length >= sent.length + BANNER.length) break;
    }
    expect(Buffer.concat(received).subarray(BANNER.length).equals(sent)).toBe(true);
  });

  it("delivers the whole answer to a client that has shut down its sending side", async () => {
    const sent = randomBytes(500_000);
    const received = await drain(tunnel.port, (socket) => socket.end(sent));
    expect(received.subarray(BANNER.length).equals(sent)).toBe(true);
  });

  it("ends the client's connection when the server ends its own", async () => {
    await using other = await startTunnel();
    const socket = connect(other.port, "127.0.0.1");
    await once(socket, "data");
    const ended = once(socket, "close");
    await other.tcpService.close();
    await ended;
    expect(socket.readableEnded).toBe(true);
  });
});

describe("the tunnel's access control", () => {
  let tunnel: Tunnel;
  let bare: BareTunnelOptions;
  let otherCertDir = "";
  const parts = new AsyncDisposableStack();

  beforeAll(async () => {
    tunnel = parts.use(await startTunnel());
    const check = await fetch(`${tunnel.authServer.url}/check`);
    const { certDir, google } = tunnel;
    bare = {
      google,
      host: TUNNEL_HOST,
      tunnelCa: await readFile(join(certDir, "ca.crt"), "utf8"),
      authorization: check.headers.get("authorization") ?? "",
      client: await pairIn(certDir, "client"),
    };
    otherCertDir = parts.use(await makeTemporaryFolder()).path;
    await runOrThrow(["certs", otherCertDir]);
  });
  afterAll(() => parts.disposeAsync());

  async function pairIn(folder: string, end: "client" | "server") {
    return {
      cert: await readFile(join(folder, `${end}.crt`), "utf8"),
      key: await readFile(join(folder, `${end}.key`), "utf8"),
    };
  }

  it("admits a hand-made request with a token and a client certificate", async () => {
    expect(await openBareTunnel(bare)).toEqual({ status: 200, tls: "accepted" });
  });

  it("denies a request without a valid token at Cloud Run", async () => {
    const { authorization: _, ...rest } = bare;
    expect(await openBareTunnel(rest)).toEqual({ status: 403 });
    expect(await openBareTunnel({ ...bare, authorization: "Bearer x.y.z" })).toEqual({
      status: 401,
    });
  });

  it("refuses a client without a certificate at the tunnel server", async () => {
    const { client: _, ...rest } = bare;
    expect(await openBareTunnel(rest)).toMatchObject({
      tls: expect.stringContaining("CERTIFICATE_REQUIRED"),
    });
  });

  it("refuses a client with a certificate of another authority or of the server", async () => {
    const connections = tunnel.tcpService.connections;
    for (const client of [
      await pairIn(otherCertDir, "client"),
      await pairIn(tunnel.certDir, "server"),
    ]) {
      const outcome = await openBareTunnel({ ...bare, client });
      expect(outcome).toMatchObject({ status: 200, tls: expect.stringMatching(/ERR_SSL|closed/) });
    }
    expect(tunnel.tcpService.connections).toBe(connections);
  });

  it("answers 404 to a request that is not for a tunnel", async () => {
    expect(await openBareTunnel({ ...bare, method: "GET" })).toEqual({ status: 404 });
  });

  /** Starts a second tunnel-client Envoy for the same service with some flags changed. */
  const startClient = (...flags: readonly string[]) =>
    startEnvoy("tunnel-client", [
      ...tunnel.google.serviceFlags(TUNNEL_HOST),
      "--listen=127.0.0.1:0",
      `--cert-dir=${tunnel.certDir}`,
      `--authz=${tunnel.authServer.address}`,
      ...flags,
    ]);

  it("makes the client refuse a tunnel server with a certificate of another authority", async () => {
    const folder = join(otherCertDir, "mixed");
    await mkdir(folder);
    await writeFile(join(folder, "ca.crt"), await readFile(join(otherCertDir, "ca.crt")));
    const own = await pairIn(tunnel.certDir, "client");
    await writeFile(join(folder, "client.crt"), own.cert);
    await writeFile(join(folder, "client.key"), own.key);
    await using client = await startClient(`--cert-dir=${folder}`);
    expect((await drain(client.port("tcp"))).length).toBe(0);
    expect(await client.line("connection refused")).toContain("CERTIFICATE_VERIFY_FAILED");
  });

  it("makes the client refuse a Cloud Run with a certificate of another authority", async () => {
    await using client = await startClient(`--service-ca=${join(otherCertDir, "ca.crt")}`);
    expect((await drain(client.port("tcp"))).length).toBe(0);
    expect(await client.line("tunnel refused")).toContain("CERTIFICATE_VERIFY_FAILED");
  });

  it("makes the client refuse a Cloud Run with a certificate for another host", async () => {
    await using client = await startClient("--service-url=https://other.example");
    expect((await drain(client.port("tcp"))).length).toBe(0);
    expect(await client.line("tunnel refused")).toContain("CERTIFICATE_VERIFY_FAILED");
  });

  it("closes connections and sends nothing to Cloud Run while the auth server is down", async () => {
    const { cloudRun } = tunnel.google;
    const requests = cloudRun.requests.length;
    await using client = await startClient("--authz=127.0.0.1:1");
    expect((await drain(client.port("tcp"))).length).toBe(0);
    expect(await client.line("tunnel refused")).toContain("status=503");
    expect(cloudRun.requests).toHaveLength(requests);
  });
});

describe("tunnel-client-public", () => {
  it("reaches a service that allows unauthenticated callers, with the same mTLS", async () => {
    await using tunnel = await startTunnel({ client: "tunnel-client-public" });
    expect(await readBanner(tunnel.port, BANNER_TIMEOUT)).toMatch(/^Congrats!/);
    expect(tunnel.google.cloudRun.requests.at(-1)).toMatchObject({
      status: 200,
      identity: undefined,
    });
  });
});
