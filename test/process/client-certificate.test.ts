import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCredentials, type Credentials } from "../support/credential-files.ts";
import { FEDERATED_PRINCIPAL } from "../support/identity-provider.ts";
import { readFrom } from "../support/mint-once.ts";
import { startServer } from "../support/server-process.ts";
import { startX509Federation, type X509Federation } from "../support/x509-federation.ts";

let world: Credentials;
let x509: X509Federation;

beforeAll(async () => {
  world = await createCredentials();
  x509 = await startX509Federation(world.endpoint, world);
});
afterAll(async () => {
  await x509?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

describe("a client certificate (X.509)", () => {
  it("is presented to the STS and to the IAM Credentials API", async () => {
    const path = await world.write(x509.file);
    const audience = "https://service.example";
    await using server = await startServer(
      [`--credentials=${path}`, `--audience=${audience}`],
      x509.env,
    );
    await server.event("minted");
    expect((await fetch(`${server.url}/check`)).headers.get("authorization")).toMatch(/^Bearer /);
    expect(x509.apis.exchanges).toEqual(["issued"]);
    expect(x509.apis.calls).toMatchObject([{ caller: FEDERATED_PRINCIPAL, outcome: "issued" }]);
  });

  it("fails the mint if it cannot be read, and the error names the settings to check", async () => {
    const location = await world.write({ cert_configs: {} }, "empty.json");
    await writeFile(location, "{");
    const credential_source = { certificate: { certificate_config_location: location } };
    const { mint } = await readFrom(await world.write({ ...x509.file, credential_source }));
    await expect(mint("a", AbortSignal.timeout(5000))).rejects.toMatchObject({
      code: "mint_unavailable",
      message: expect.stringMatching(/check certificate_config_location.*cert_path and key_path/),
    });
  });

  it("is refused for a token_url without TLS", async () => {
    const plain = { ...x509.file, token_url: "http://127.0.0.1:1/v1/token" };
    await expect(readFrom(await world.write(plain))).rejects.toThrow(
      /its token_url must be https for a client certificate/,
    );
  });
});
