import { X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { createCertificateAuthority } from "../../src/envoy/certificates.ts";
import { inUse } from "../support/certificates-in-use.ts";
import { findOlderEnvoy, OLDER_ENVOYS } from "../support/envoy-binary.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import { replaceFiles } from "../support/replace-file.ts";
import { issueClient, issueServer, startSharedServer } from "../support/shared-server.ts";

const REQUESTS_PER_CONNECTION = 5;
/** How many requests of the load are awaited after each step: several connections of each worker. */
const REQUESTS_PER_STEP = 40;
const WORKERS = 4;

/** Makes Envoy connect to the auth server again and again. */
function reconnectOften(config: string): string {
  const shipped = "common_http_protocol_options: { idle_timeout: 30s }";
  if (!config.includes(shipped)) throw new Error(`the config has no ${shipped}`);
  const bound = `max_requests_per_connection: ${REQUESTS_PER_CONNECTION}`;
  return config.replace(shipped, shipped.replace("30s", `30s, ${bound}`));
}

const serialOf = (pem = "") => new X509Certificate(pem).serialNumber.toLowerCase();

describe.each(["the newest", ...OLDER_ENVOYS])("Envoy %s and an auth server", (release) => {
  const flags = release === "the newest" ? [] : [`--envoy-version=${release}`];
  // The first run on a machine downloads it.
  beforeAll(async () => {
    if (flags.length > 0) await findOlderEnvoy(release);
  }, 600_000);

  it("move to another authority under load without a lost request, and then refuse the old one", async () => {
    await using server = await startSharedServer({ clients: ["web"] });
    const first = server.authority.certificatePem;
    const nextAuthority = await createCertificateAuthority("next CA");
    const next = nextAuthority.certificatePem;
    // Older releases show only the first certificate of a file in their admin interface.
    const both = `${next}\n${first}`;
    await using web = await server.startEnvoy("web", {
      follows: true,
      edit: reconnectOften,
      flags,
    });
    await using left = await server.startEnvoy("web", {
      trusted: both,
      edit: reconnectOften,
      flags,
    });
    expect((await fetch(left.url)).status).toBe(200);
    const load = startLoad(WORKERS, httpAttempt(web.url));
    await load.more(REQUESTS_PER_STEP);

    await server.useCertificates({ "ca.crt": both });
    await replaceFiles(web.certDir, { "ca.crt": both });
    await inUse(web.envoy, serialOf(next));
    await load.more(REQUESTS_PER_STEP);

    const client = await issueClient(nextAuthority, "web");
    await replaceFiles(web.certDir, client);
    await inUse(web.envoy, serialOf(client["client.crt"]));
    await server.useCertificates(await issueServer(nextAuthority));
    await load.more(REQUESTS_PER_STEP);

    await server.useCertificates({ "ca.crt": next });
    await replaceFiles(web.certDir, { "ca.crt": next });
    await load.more(REQUESTS_PER_STEP);
    expect(await load.stop()).toEqual({ ok: expect.any(Number) });

    await using fresh = await server.startEnvoy("web", { by: nextAuthority, trusted: next, flags });
    expect((await fetch(fresh.url)).status).toBe(200);
    const refused = await server.metric("tls_handshakes_refused_total");
    // Its open connection is good for a few more requests; a TLS ticket does not help after that.
    const answers: number[] = [];
    for (let sent = 0; sent <= REQUESTS_PER_CONNECTION; sent++) {
      answers.push((await fetch(left.url)).status);
    }
    // Envoy 1.37.0 does not answer 503.
    expect(answers.at(-1)).toBeGreaterThanOrEqual(400);
    expect(await server.metric("tls_handshakes_refused_total")).toBeGreaterThan(refused ?? 0);
    await server.useCertificates(await issueServer(server.authority));
    while ((await fetch(web.url)).status === 200) continue;
  }, 120_000);
});

it("An Envoy gets no token from a server of an authority that it does not trust.", async () => {
  await using server = await startSharedServer({ clients: ["web"] });
  const other = await createCertificateAuthority("another CA");
  await using envoy = await server.startEnvoy("web", { trusted: other.certificatePem });
  expect((await fetch(envoy.url)).status).toBe(503);
  expect(server.google.cloudRun.requests).toEqual([]);
});
