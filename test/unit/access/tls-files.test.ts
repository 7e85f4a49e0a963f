import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import { describe, expect, it } from "vitest";
import { createCertificateAuthority } from "../../../src/envoy/certificates.ts";
import { openTlsFiles } from "../../../src/access/tls-files.ts";
import { terminateTls } from "../../../src/http/tls.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const SETTLE_MS = 500;
const authority = await createCertificateAuthority("test CA");

/** A folder with a server's certificate. */
async function setUp() {
  const folder = await makeTemporaryFolder();
  const path = (name: string) => join(folder.path, name);
  const issue = (name: string) =>
    authority.issue({ commonName: name, dnsNames: [name], usage: "server", days: 30 });

  async function write(name: string, only: "both" | "cert" | "key" = "both"): Promise<void> {
    const { certificatePem, privateKeyPem } = await issue(name);
    if (only !== "key") await writeFile(path("server.crt"), certificatePem);
    if (only !== "cert") await writeFile(path("server.key"), privateKeyPem);
  }

  await write("first.test");
  const clock = createFakeClock();
  const events: string[] = [];
  const paths = { cert: path("server.crt"), key: path("server.key"), clientCa: undefined };
  const open = (more: Partial<Parameters<typeof openTlsFiles>[0]> = {}) =>
    openTlsFiles({ ...paths, ...more }, clock, {
      tlsChanged: () => events.push("changed"),
      tlsUnusable: ({ message }) => events.push(message),
    });
  const dispose = () => folder[Symbol.asyncDispose]();
  return { path, write, clock, events, open, [Symbol.asyncDispose]: dispose };
}

describe("openTlsFiles", () => {
  it("reads a certificate and its key, and says when the certificate expires", async () => {
    await using world = await setUp();
    const files = await world.open();
    expect(files.options().cert?.toString()).toContain("BEGIN CERTIFICATE");
    const days = (files.expiresAtSeconds() - Date.now() / 1000) / 86_400;
    expect(days).toBeGreaterThan(29);
    expect(days).toBeLessThan(31);
    files.close();
  });

  it.each([
    ["server.crt", "no certificate", /server\.crt: it has no certificate \(PEM\)$/],
    ["server.key", "no key", /server\.key: it is not the key \(PEM\) of .*server\.crt$/],
  ])("refuses a wrong %s, and shows nothing of it", async (name, content, message) => {
    await using world = await setUp();
    await writeFile(world.path(name), content);
    await expect(world.open()).rejects.toThrow(message);
  });

  it("refuses a key of another certificate, and authorities that are none", async () => {
    await using world = await setUp();
    await writeFile(world.path("ca.crt"), "no authority");
    const clientCa = world.path("ca.crt");
    await expect(world.open({ clientCa })).rejects.toThrow(/ca\.crt: it has no certificate/);
    await world.write("other.test", "key");
    await expect(world.open()).rejects.toThrow(/is not the key/);
  });

  it.each(["server.crt", "ca.crt"])("refuses a %s of which a part is broken", async (name) => {
    await using world = await setUp();
    const good = await readFile(world.path("server.crt"), "utf8");
    const clientCa = world.path("ca.crt");
    await writeFile(clientCa, `a comment\n${good}another\r\n${good}`);
    (await world.open({ clientCa })).close();
    for (const broken of [good.replace("MII", "AAA"), good.slice(0, -100)]) {
      await writeFile(world.path(name), good + broken + good);
      await expect(world.open({ clientCa })).rejects.toThrow(/certificate 2 of 3 cannot be read$/);
    }
  });

  it("uses a renewed certificate for new connections once certificate and key are there", async () => {
    await using world = await setUp();
    const files = await world.open();
    const server = createServer();
    terminateTls(server, { files, onRefused: () => {} });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;

    async function nameOfServer(): Promise<unknown> {
      const socket = connect({
        port,
        host: "127.0.0.1",
        ca: authority.certificatePem,
        checkServerIdentity: () => undefined,
      });
      await once(socket, "secureConnect");
      const { subject } = socket.getPeerCertificate();
      socket.destroy();
      return subject.CN;
    }

    expect(await nameOfServer()).toBe("first.test");
    await world.write("second.test");
    await files.reload();
    expect(await nameOfServer(), "not before both had time to arrive").toBe("first.test");
    world.clock.advance(SETTLE_MS);
    expect(await nameOfServer()).toBe("second.test");
    await world.write("third.test", "cert");
    await files.reload();
    world.clock.advance(SETTLE_MS);
    expect(await nameOfServer(), "which has no key").toBe("second.test");
    expect(world.events).toEqual(["changed", expect.stringMatching(/is not the key/)]);
    files.close();
    server.close();
    await once(server, "close");
  });
});
