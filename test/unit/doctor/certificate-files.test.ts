import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { checkCertificateFiles } from "../../../src/doctor/certificate-files.ts";
import { createSet, ownersOf } from "../../../src/envoy/certificate-set.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const DAY_MS = 86_400_000;
const folder = await makeTemporaryFolder();
const path = (name: string) => join(folder.path, name);
const inDays = (days: number) => new Date(Date.now() + days * DAY_MS);
const use = { server: "the auth server", remedy: "check the flag" };
const check = (now = inDays(0)) => checkCertificateFiles(folder.path, use, now);
const write = async () => {
  for (const { name, text } of await createSet(ownersOf(["authz"]), false)) {
    await writeFile(path(name), text);
  }
};
beforeEach(write);
afterAll(() => folder[Symbol.asyncDispose]());

describe("checkCertificateFiles", () => {
  it("returns what certs has made, with the client's name", async () => {
    const { value, remedy, message } = await check();
    expect(value.names).toEqual(["authz-client"]);
    expect(value.identity.key).toContain("PRIVATE KEY");
    expect(message).toMatch(/client\.crt is for DNS:authz-client, valid to /);
    expect(remedy).toBeUndefined();
  });

  it("warns of a certificate with less than a week, and refuses one outside of its days", async () => {
    expect((await check(inDays(84))).remedy).toContain("certs DIR --renew");
    await expect(check(inDays(91))).rejects.toThrow(/client\.crt is valid/);
    await expect(check(inDays(-1))).rejects.toThrow(/client\.crt is valid/);
  });

  it("names a file that is missing or is not what it should be, and shows nothing of it", async () => {
    await writeFile(path("ca.crt"), "secret");
    await expect(check()).rejects.toThrow(/ca\.crt is not a certificate \(PEM\)$/);
    await write();
    await writeFile(path("client.key"), "secret");
    await expect(check()).rejects.toThrow(/client\.key is not the key of client\.crt$/);
    await rm(path("client.key"));
    await expect(check()).rejects.toMatchObject({ remedy: use.remedy });
    await rm(path("ca.crt"));
    await expect(check()).rejects.toThrow(/ca\.crt: the CA of the auth server cannot be read/);
  });
});
