import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { connect, createServer } from "node:tls";
import { describe, expect, it } from "vitest";
import { createCertificateAuthority } from "../../../src/envoy/certificates.ts";

const DAY_MS = 86_400_000;
const authority = await createCertificateAuthority("test CA");
const ca = new X509Certificate(authority.certificatePem);
const issue = (usage: "client" | "server", from = new Date()) =>
  authority.issue({ commonName: usage, dnsNames: [`${usage}.test`], usage, days: 90, from });
const server = await issue("server");
const client = await issue("client");

describe("a certificate", () => {
  const certificate = new X509Certificate(server.certificatePem);

  it("is signed by the authority, for its own key", () => {
    expect(ca.ca).toBe(true);
    expect(ca.checkIssued(ca)).toBe(true);
    expect(certificate.ca).toBe(false);
    expect(certificate.checkIssued(ca)).toBe(true);
    expect(certificate.verify(ca.publicKey)).toBe(true);
    const key = createPrivateKey(server.privateKeyPem);
    expect(certificate.checkPrivateKey(key)).toBe(true);
    expect(key.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
  });

  it("is for its names and its usage", () => {
    expect(certificate.checkHost("server.test")).toBe("server.test");
    expect(certificate.checkHost("client.test")).toBeUndefined();
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    expect(new X509Certificate(client.certificatePem).keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  });

  it("covers addresses and wildcards", async () => {
    const { certificatePem } = await authority.issue({
      commonName: "x",
      dnsNames: ["*.a.run.app"],
      ipAddresses: ["127.0.0.1"],
      usage: "server",
      days: 1,
    });
    const wide = new X509Certificate(certificatePem);
    expect(wide.checkIP("127.0.0.1")).toBe("127.0.0.1");
    expect(wide.checkHost("tunnel-abc123-ew.a.run.app")).toBe("*.a.run.app");
  });

  it("has a serial number of its own", async () => {
    const other = new X509Certificate((await issue("server")).certificatePem);
    expect(other.serialNumber).not.toBe(certificate.serialNumber);
  });

  it.each(["2026-01-01T00:00:00Z", "2049-12-31T23:59:59Z"])(
    "counts its days from %s",
    async (from) => {
      const dated = new X509Certificate((await issue("client", new Date(from))).certificatePem);
      expect(dated.validFromDate).toEqual(new Date(Date.parse(from) - 300_000));
      expect(dated.validToDate).toEqual(new Date(Date.parse(from) + 90 * DAY_MS));
    },
  );
});

describe("mutual TLS", () => {
  /** What each end finds wrong with the other's certificate. */
  async function handshake(clientEnd = client, serverEnd = server) {
    const options = { ca: authority.certificatePem, rejectUnauthorized: false };
    const { certificatePem, privateKeyPem } = serverEnd;
    const listener = createServer(
      { ...options, requestCert: true, cert: certificatePem, key: privateKeyPem },
      (socket) => socket.end(String(socket.authorizationError ?? "good")),
    ).listen(0, "127.0.0.1");
    await once(listener, "listening");
    const { port } = listener.address() as AddressInfo;
    const { certificatePem: cert, privateKeyPem: key } = clientEnd;
    const socket = connect({ ...options, port, cert, key, servername: "server.test" });
    const ofClient = await text(socket);
    listener.close();
    return { ofClient, ofServer: String(socket.authorizationError ?? "good") };
  }

  it("joins the two ends", async () => {
    expect(await handshake()).toEqual({ ofClient: "good", ofServer: "good" });
  });

  it("keeps out whom another authority of the same name vouches for", async () => {
    const other = await createCertificateAuthority("test CA");
    const stranger = await other.issue({
      commonName: "c",
      dnsNames: ["c"],
      usage: "client",
      days: 1,
    });
    expect(await handshake(stranger)).toMatchObject({
      ofClient: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    });
  });

  it("keeps out an expired certificate", async () => {
    const expired = await issue("client", new Date(Date.now() - 91 * DAY_MS));
    expect(await handshake(expired)).toMatchObject({ ofClient: "CERT_HAS_EXPIRED" });
  });

  it("keeps out a certificate for the other end", async () => {
    expect(await handshake(server, client)).toEqual({
      ofClient: "INVALID_PURPOSE",
      ofServer: "INVALID_PURPOSE",
    });
  });
});
