import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect, createServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificateAuthority } from "../../../src/envoy/certificates.ts";
import { certsCommand } from "../../../src/commands/certs.ts";
import { StartError, UsageError } from "../../../src/system/errors.ts";

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

describe("certs DIR", () => {
  const names = ["ca.crt", "client.crt", "client.key", "server.crt", "server.key"];
  let root = "";

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "certs-"));
  });
  afterAll(() => rm(root, { recursive: true }));

  async function run(...argv: readonly string[]): Promise<string> {
    let output = "";
    const stdout = (printed: string) => {
      output += printed;
    };
    expect(await certsCommand(argv, {}, { stdout })).toBe(0);
    return output;
  }

  it("makes the five files, the keys for their owner only, and says when they end", async () => {
    const folder = join(root, "new/deep");
    const output = await run(folder);
    expect((await readdir(folder)).sort()).toEqual(names);
    const ends = new Date(Date.now() + 90 * DAY_MS).toISOString().slice(0, 10);
    const lines = output.trim().split("\n");
    expect(lines).toHaveLength(5);
    for (const [index, name] of names.entries()) {
      expect(lines[index]).toContain(`${join(folder, name)}: `);
      expect(lines[index]).toContain(`ends ${ends}`);
    }
    for (const end of ["client", "server"]) {
      expect((await stat(join(folder, `${end}.key`))).mode & 0o777).toBe(0o600);
      const pem = await readFile(join(folder, `${end}.crt`));
      const certificate = new X509Certificate(pem);
      expect(certificate.subjectAltName).toBe(`DNS:tunnel-${end}`);
      const made = new X509Certificate(await readFile(join(folder, "ca.crt")));
      expect(certificate.verify(made.publicKey)).toBe(true);
      const key = createPrivateKey(await readFile(join(folder, `${end}.key`)));
      expect(certificate.checkPrivateKey(key)).toBe(true);
    }
  });

  it("writes nothing when a file is in the way, and names each that is", async () => {
    const folder = join(root, "taken");
    await mkdir(folder);
    await writeFile(join(folder, "client.key"), "mine");
    await symlink("nowhere", join(folder, "server.crt"));
    const error: unknown = await run(folder).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(StartError);
    expect(error).not.toBeInstanceOf(UsageError);
    expect(String(error)).toContain(`${join(folder, "client.key")}, ${join(folder, "server.crt")}`);
    expect((await readdir(folder)).sort()).toEqual(["client.key", "server.crt"]);
    expect(await readFile(join(folder, "client.key"), "utf8")).toBe("mine");
  });

  it("tells why it cannot write", async () => {
    await writeFile(join(root, "file"), "");
    await expect(run(join(root, "file"))).rejects.toThrow(StartError);
  });

  it.each([{ argv: [] }, { argv: [""] }, { argv: ["a", "b"] }, { argv: ["--force", "a"] }])(
    "refuses wrong usage: $argv",
    async ({ argv }) => {
      await expect(run(...argv)).rejects.toThrow(UsageError);
    },
  );
});
