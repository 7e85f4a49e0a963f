import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { certsCommand } from "../../../src/commands/certs.ts";
import { hasSecretFiles, secretFiles } from "../../../src/envoy/secret-files.ts";
import { StartError, UsageError } from "../../../src/system/errors.ts";

const DAY_MS = 86_400_000;

describe("certs DIR", () => {
  const pems = ["ca.crt", "client.crt", "client.key", "server.crt", "server.key"];
  const secrets = ["ca.sds.yaml", "client.sds.yaml", "server.sds.yaml"];
  const names = [...pems, ...secrets].sort();
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

  it("creates five PEM files, with keys readable by their owner only, and prints their expiry", async () => {
    const folder = join(root, "new/deep");
    const output = await run(folder);
    expect((await readdir(folder)).sort()).toEqual(names);
    const ends = new Date(Date.now() + 90 * DAY_MS).toISOString().slice(0, 10);
    const lines = output.trim().split("\n");
    expect(lines).toHaveLength(8);
    for (const [index, name] of pems.entries()) {
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

  it("makes Envoy follow the certificates, by the folder's absolute path", async () => {
    const folder = join(root, "followed");
    await run(relative(process.cwd(), folder));
    expect(hasSecretFiles(folder)).toBe(true);
  });

  it("creates only the files that make Envoy follow certificates in another folder", async () => {
    const folder = join(root, "for-container");
    const output = await run(folder, "--sds-for=/etc/tunnel/certs");
    expect(output.trim().split("\n")).toHaveLength(3);
    expect((await readdir(folder)).sort()).toEqual(secrets);
    for (const { name, text } of secretFiles("/etc/tunnel/certs")) {
      expect(await readFile(join(folder, name), "utf8")).toBe(text);
    }
    await expect(run(folder, "--sds-for=/elsewhere")).rejects.toThrow("ca.sds.yaml");
  });

  it("renews both certificates with the CA's key, which is kept on request", async () => {
    const folder = join(root, "lasting");
    await run(folder, "--keep-ca-key");
    expect((await stat(join(folder, "ca.key"))).mode & 0o777).toBe(0o600);
    const read = async (name: string) => readFile(join(folder, name), "utf8");
    const authority = await read("ca.crt");
    const before = await Promise.all([read("client.crt"), read("server.key")]);
    const output = await run(folder, "--renew");
    expect(output.trim().split("\n")).toHaveLength(4);
    expect(await read("ca.crt")).toBe(authority);
    const after = await Promise.all([read("client.crt"), read("server.key")]);
    for (const [index, text] of after.entries()) expect(text).not.toBe(before[index]);
    for (const end of ["client", "server"]) {
      const certificate = new X509Certificate(await read(`${end}.crt`));
      expect(certificate.verify(new X509Certificate(authority).publicKey)).toBe(true);
      expect(certificate.checkPrivateKey(createPrivateKey(await read(`${end}.key`)))).toBe(true);
    }
    expect((await readdir(folder)).sort()).toEqual([...names, "ca.key"].sort());
  });

  it("renews again after a renewal that broke off", async () => {
    const folder = join(root, "broken-off");
    await run(folder, "--keep-ca-key");
    await rm(join(folder, "server.key"));
    await mkdir(join(folder, "server.key"));
    await expect(run(folder, "--renew")).rejects.toThrow(StartError);
    await rm(join(folder, "server.key"), { recursive: true });
    await run(folder, "--renew");
    expect((await readdir(folder)).sort()).toEqual([...names, "ca.key"].sort());
  });

  it("makes the auth server's set for its hosts, and keeps the names when it renews", async () => {
    const folder = join(root, "authz");
    await run(folder, "--authz-host=Authz.internal", "--authz-host=localhost", "--keep-ca-key");
    const namesIn = async (end: string) =>
      new X509Certificate(await readFile(join(folder, `${end}.crt`))).subjectAltName;
    const before = await readFile(join(folder, "server.crt"), "utf8");
    for (const renews of [false, true]) {
      if (renews) await run(folder, "--renew");
      expect(await namesIn("server")).toBe("DNS:authz.internal, DNS:localhost");
      expect(await namesIn("client")).toBe("DNS:authz-client");
    }
    expect(await readFile(join(folder, "server.crt"), "utf8")).not.toBe(before);
    await writeFile(join(folder, "server.crt"), "mine");
    await expect(run(folder, "--renew")).rejects.toThrow(/needs the names in .*server\.crt/);
  });

  it("renews nothing without the CA's key, or with another one", async () => {
    const [folder, other] = [join(root, "keyless"), join(root, "other")];
    await run(folder);
    await run(other, "--keep-ca-key");
    const before = await readFile(join(folder, "client.crt"), "utf8");
    await expect(run(folder, "--renew")).rejects.toThrow(
      `certs --keep-ca-key writes: ${join(folder, "ca.key")}: no such file or directory`,
    );
    await writeFile(join(folder, "ca.key"), await readFile(join(other, "ca.key")));
    await expect(run(folder, "--renew")).rejects.toThrow("must be the key of the CA");
    expect(await readFile(join(folder, "client.crt"), "utf8")).toBe(before);
  });

  it("writes nothing if a file exists, and names each one that does", async () => {
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

  it("says why it cannot write", async () => {
    const file = join(root, "file");
    await writeFile(file, "");
    const expected = new StartError(`nothing written: ${file}: file already exists`);
    await expect(run(file)).rejects.toThrow(expected);
  });

  it.each([
    { argv: [] },
    { argv: [""] },
    { argv: ["a", "b"] },
    { argv: ["--force", "a"] },
    { argv: ["a", "--authz-host=127.0.0.1"] },
    { argv: ["a", "--renew", "--authz-host=b"] },
    { argv: ["a", "--renew", "--sds-for=/certs"] },
  ])("refuses wrong usage: $argv", async ({ argv }) => {
    await expect(run(...argv)).rejects.toThrow(UsageError);
  });
});
