import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificateAuthority } from "../../src/envoy/certificates.ts";
import { API_AUDIENCE } from "../support/gateway.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import {
  accountOf,
  issueServer,
  startSharedServer,
  uriOf,
  type SharedServer,
} from "../support/shared-server.ts";

const NAMES = ["web", "cart"];
const ROTATIONS = 5;
const DAY_MS = 86_400_000;

let server: SharedServer;
beforeAll(async () => {
  server = await startSharedServer({ clients: NAMES });
});
afterAll(() => server[Symbol.asyncDispose]());

describe("Envoys that share an auth server over TLS", () => {
  it("reach the service each as its own account", async () => {
    for (const name of NAMES) {
      await using envoy = await server.startEnvoy(name);
      expect((await fetch(envoy.url)).status).toBe(200);
      const { identity } = server.google.cloudRun.requests.at(-1) ?? {};
      expect(identity).toMatchObject({ audience: API_AUDIENCE, email: accountOf(name) });
    }
  });

  it("lose no request while the server's certificate is renewed several times", async () => {
    await using envoy = await server.startEnvoy("web");
    const load = startLoad(4, httpAttempt(envoy.url));
    for (let renewal = 1; renewal <= ROTATIONS; renewal++) {
      await load.more(20);
      await server.useCertificates(await issueServer(server.authority));
      await using fresh = await server.startEnvoy("cart");
      expect((await fetch(fresh.url)).status).toBe(200);
    }
    await load.more(20);
    expect(await load.stop()).toEqual({ ok: expect.any(Number) });
  });

  it("get 403 under a name that the policy does not have, and are counted", async () => {
    const series = 'checks_total{protocol="http",outcome="caller_not_allowed"}';
    const before = (await server.metric(series)) ?? 0;
    await using other = await server.startEnvoy("other");
    for (let sent = 0; sent < 3; sent++) expect((await fetch(other.url)).status).toBe(403);
    expect(await server.metric(series)).toBe(before + 3);
    const stats = `http://127.0.0.1:${other.envoy.adminPort}/stats?filter=ext_authz.denied`;
    expect(await (await fetch(stats)).text()).toContain("ext_authz.denied: 3");
  });

  it("get no pushed token under such a name, and are counted", async () => {
    const before = server.google.cloudRun.requests.length;
    await using other = await server.startEnvoy("other", { config: "gateway-push" });
    expect((await fetch(other.url)).status).toBe(503);
    expect(await server.metric('pushes_total{outcome="caller_not_allowed"}')).toBeGreaterThan(0);
    expect(server.google.cloudRun.requests).toHaveLength(before);
  });

  it("get 403 if --allow-client does not name them, whatever the policy grants", async () => {
    await using strict = await startSharedServer({
      clients: NAMES,
      flags: [`--allow-client=${uriOf("web")}`],
    });
    await using web = await strict.startEnvoy("web");
    await using cart = await strict.startEnvoy("cart");
    expect([await fetch(web.url), await fetch(cart.url)].map(({ status }) => status)).toEqual([
      200, 403,
    ]);
    expect(await strict.metric('checks_total{protocol="http",outcome="caller_not_allowed"}')).toBe(
      1,
    );
  });

  it.each(["of another authority", "that has expired"])(
    "get no token with a certificate %s",
    async (what) => {
      const isExpired = what === "that has expired";
      const by = isExpired ? server.authority : await createCertificateAuthority("another CA");
      const from = new Date(Date.now() - (isExpired ? 2 * DAY_MS : 0));
      const before = server.google.cloudRun.requests.length;
      await using envoy = await server.startEnvoy("web", { by, from });
      expect((await fetch(envoy.url)).status).toBe(503);
      expect(server.google.cloudRun.requests).toHaveLength(before);
    },
  );
});
