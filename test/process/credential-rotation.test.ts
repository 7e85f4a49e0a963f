import { rename } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCredentials,
  KEY_ACCOUNT,
  TARGET,
  type Credentials,
  type FileContent,
} from "../support/credential-files.ts";
import { startServer } from "../support/server-process.ts";

let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());

describe("a credential file whose type changes", () => {
  it("is verified, then used; content that fails either step is not used", async () => {
    const path = await world.write(world.files.serviceAccount);
    const audience = "https://service.example";
    await using server = await startServer([`--credentials=${path}`, `--audience=${audience}`]);
    await server.event("minted");

    async function change(content: FileContent): Promise<void> {
      await rename(await world.write(content, "next.json"), path);
      server.signal("SIGHUP");
    }

    await change({ ...world.files.federatedByFile, service_account_impersonation_url: undefined });
    const kept = await server.line(({ outcome }) => outcome === "invalid_file");
    expect(JSON.stringify(kept)).toContain("add a service_account_impersonation_url");

    await change({ ...world.files.federatedByFile, token_url: "https://sts.example/v1/token" });
    const stray = await server.line(({ err }) => JSON.stringify(err)?.includes("sts.example"));
    expect(stray).toMatchObject({ outcome: "invalid_file" });

    await change(world.files.federatedByFile);
    const changed = await server.event("credential_rotated");
    expect(changed).toMatchObject({ principal: TARGET, previous: { principal: KEY_ACCOUNT } });

    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain(
      `idtoken_authz_credential_info{type="external_account",principal="${TARGET}",key_id=""} 1`,
    );
    expect(metrics.match(/^idtoken_authz_credential_info\{/gm)).toHaveLength(1);
    expect(metrics).toContain('idtoken_authz_credential_swaps_total{outcome="ok"} 1');

    const all = JSON.stringify(server.lines());
    expect(all).not.toMatch(/eyJ|ya29\.|PRIVATE KEY/);
  });
});
