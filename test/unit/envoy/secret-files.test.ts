import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { hasSecretFiles, secretFiles } from "../../../src/envoy/secret-files.ts";

describe("secretFiles", () => {
  it("names the certificates of both ends and of their authority, in a folder that Envoy watches", () => {
    const files = secretFiles("/etc/tunnel/certs");
    expect(files.map(({ name }) => name)).toEqual([
      "ca.sds.yaml",
      "client.sds.yaml",
      "server.sds.yaml",
    ]);
    const secrets = files.map(({ text }) => parse(text).resources[0] as unknown);
    const watched = { watched_directory: { path: "/etc/tunnel/certs" } };
    expect(secrets).toMatchObject([
      { validation_context: { trusted_ca: { filename: "/etc/tunnel/certs/ca.crt" }, ...watched } },
      { tls_certificate: { certificate_chain: { filename: "/etc/tunnel/certs/client.crt" } } },
      {
        tls_certificate: { private_key: { filename: "/etc/tunnel/certs/server.key" }, ...watched },
      },
    ]);
  });

  it("quotes what would be YAML in a path", () => {
    const [ca] = secretFiles("/a: b #c");
    expect(parse(ca?.text ?? "").resources[0].validation_context.trusted_ca).toEqual({
      filename: "/a: b #c/ca.crt",
    });
  });
});

describe("hasSecretFiles", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "secret-files-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("is true only if all of them are there and name the folder itself", async () => {
    const write = async (certDir: string) => {
      for (const { name, text } of secretFiles(certDir)) await writeFile(join(folder, name), text);
    };
    expect(hasSecretFiles(folder)).toBe(false);
    await write("/where/they/were/copied/from");
    expect(hasSecretFiles(folder)).toBe(false);
    await write(folder);
    expect(hasSecretFiles(folder)).toBe(true);
    await rm(join(folder, "server.sds.yaml"));
    expect(hasSecretFiles(folder)).toBe(false);
  });
});
