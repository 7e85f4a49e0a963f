import { X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificateAuthority } from "../../src/certificates.ts";
import {
  createCredentials,
  impersonationUrl,
  TARGET,
  type Credentials,
} from "../support/credential-files.ts";
import { startGoogleApis, type GoogleApis } from "../support/google-apis.ts";
import { FEDERATED_PRINCIPAL, providerName } from "../support/identity-provider.ts";
import { readFrom } from "../support/mint-once.ts";
import { startServer } from "../support/server-process.ts";
import { startTokenEndpoint, type TokenEndpoint } from "../support/token-endpoint.ts";

const MTLS = "urn:ietf:params:oauth:token-type:mtls";
let endpoint: TokenEndpoint;
let world: Credentials;
let apis: GoogleApis;
let caFile = "";
let file: Record<string, unknown> = {};

beforeAll(async () => {
  endpoint = await startTokenEndpoint();
  world = await createCredentials(endpoint);
  const ca = await createCertificateAuthority("stand-in for Google's CA");
  caFile = await world.write(ca.certificatePem, "ca.crt");
  const ipAddresses = ["127.0.0.1"];
  const server = {
    commonName: "sts",
    dnsNames: [],
    ipAddresses,
    usage: "server",
    days: 1,
  } as const;
  const { issuer, accessTokens } = endpoint;
  apis = await startGoogleApis({ issuer, accessTokens, tls: await ca.issue(server) });
  apis.policy.grant(TARGET, FEDERATED_PRINCIPAL);
  const workload = { commonName: "workload", dnsNames: ["workload.example"], days: 1 };
  const issued = await ca.issue({ ...workload, usage: "client" });
  const leaf = new X509Certificate(issued.certificatePem).raw.toString("base64");
  apis.register({
    audience: providerName("x509"),
    subjectTokenType: MTLS,
    verify: async (token, { certificate }) =>
      certificate === leaf && token === JSON.stringify([leaf]) ? FEDERATED_PRINCIPAL : undefined,
  });
  const cert_path = await world.write(issued.certificatePem, "client.crt");
  const key_path = await world.write(issued.privateKeyPem, "client.key");
  const config = { cert_configs: { workload: { cert_path, key_path } } };
  const certificate_config_location = await world.write(config, "certificate_config.json");
  file = {
    type: "external_account",
    audience: providerName("x509"),
    subject_token_type: MTLS,
    token_url: `${apis.url}/v1/token`,
    service_account_impersonation_url: impersonationUrl(apis, TARGET),
    credential_source: { certificate: { certificate_config_location } },
  };
});
afterAll(async () => {
  await apis?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
  await endpoint?.[Symbol.asyncDispose]();
});

describe("a client certificate (X.509)", () => {
  it("is shown to the STS and to IAM Credentials, which the server trusts by its CA", async () => {
    const path = await world.write(file);
    const audience = "https://service.example";
    await using server = await startServer([`--credentials=${path}`, `--audience=${audience}`], {
      NODE_EXTRA_CA_CERTS: caFile,
    });
    await server.line(({ msg }) => msg === "minted an ID token");
    expect((await fetch(`${server.url}/check`)).headers.get("authorization")).toMatch(/^Bearer /);
    expect(apis.exchanges).toEqual(["issued"]);
    expect(apis.calls).toMatchObject([{ caller: FEDERATED_PRINCIPAL, outcome: "issued" }]);
  });

  it("that cannot be read is told with the names of its files", async () => {
    const location = await world.write({ cert_configs: {} }, "empty.json");
    await writeFile(location, "{");
    const credential_source = { certificate: { certificate_config_location: location } };
    const { mint } = await readFrom(await world.write({ ...file, credential_source }));
    await expect(mint("a", AbortSignal.timeout(5000))).rejects.toMatchObject({
      code: "mint_unavailable",
      message: expect.stringMatching(/check certificate_config_location.*cert_path and key_path/),
    });
  });

  it("needs TLS to be shown in", async () => {
    const plain = { ...file, token_url: "http://127.0.0.1:1/v1/token" };
    await expect(readFrom(await world.write(plain))).rejects.toThrow(
      /its token_url must be https for a client certificate/,
    );
  });
});
