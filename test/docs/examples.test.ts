import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createCertificateAuthority } from "../../src/envoy/certificates.ts";
import { runDoctor } from "../support/doctor.ts";
import { startGoogle } from "../support/google.ts";
import { startHttpProxy } from "../support/http-proxy.ts";
import { createServiceAccount } from "../support/service-account.ts";
import { startTlsFront } from "../support/tls-front.ts";
import { API_HOST } from "../support/gateway.ts";
import { startUp } from "../support/up.ts";
import { readDocument } from "./documents.ts";
import { startFarEnd } from "./far-end.ts";

const GOOGLE = "oauth2.googleapis.com";
const SERVICE = "tunnel-1234567890.europe-west1.run.app";
const EMAIL = "caller@my-project.iam.gserviceaccount.com";

/** A report without what differs from run to run. */
function normalize(report: string): string {
  return report
    .replaceAll(/127\.0\.0\.1:\d+/g, "ADDRESS")
    .replaceAll(/key ID \w+/g, "key ID ID")
    .replaceAll(/\w{3} +\d+ [\d:]+ \d{4} GMT|\d{4}-\d\d-\d\dT[\d:]+Z/g, "DATE");
}

/** The same checks as those of the example, behind a proxy, for an account without the role. */
async function runExample(): Promise<string> {
  await using google = await startGoogle({
    services: [
      {
        host: SERVICE,
        audiences: [`https://${SERVICE}`],
        invokers: [],
        containerPort: 1,
        containerProtocol: "h2c",
      },
    ],
  });
  const account = createServiceAccount({
    tokenUri: google.endpoint.url,
    clientEmail: EMAIL,
  });
  google.endpoint.register(account);
  const keyFile = join(google.folder, "key.json");
  const key = { ...account.keyFile, token_uri: `https://${GOOGLE}/token` };
  await writeFile(keyFile, JSON.stringify(key), { mode: 0o600 });
  const ca = await createCertificateAuthority("Stand-in CA");
  await writeFile(join(google.folder, "google.crt"), ca.certificatePem);
  const port = Number(new URL(google.endpoint.url).port);
  await using front = await startTlsFront({ ca, host: GOOGLE, port });
  await using proxy = await startHttpProxy({ port: front.port });
  const { stdout } = await runDoctor(
    [`--credentials=${keyFile}`, ...google.serviceFlags(SERVICE)],
    {
      HTTPS_PROXY: `http://${proxy.host}`,
      NODE_EXTRA_CA_CERTS: join(google.folder, "google.crt"),
    },
  );
  return stdout.replaceAll(keyFile, "key.json");
}

it("The example of the doctor is what it prints", async () => {
  const { text } = await readDocument("docs/operations.md");
  const example = /\$ npm run -s doctor -- [^\n]*\n([^]*?)```/.exec(text)?.[1] ?? "";
  const printed = await runExample();
  expect(normalize(printed)).toBe(normalize(example));
});

it("The example of up is what it prints", async () => {
  const { text } = await readDocument("docs/up.md");
  const [, example = ""] = /```\n( +0\.0 s [^]*?)\n```/.exec(text) ?? [];
  // What comes before the first thing that differs from run to run.
  const steps = example.split("\n").map((line) => line.slice(9).split(/\/usr|caller@|http:/)[0]);
  await using farEnd = await startFarEnd();
  const { keyFile, serviceFlags } = farEnd.google;
  const flags = [`--credentials=${keyFile}`, ...serviceFlags(API_HOST)];
  await using up = await startUp("gateway-push", flags);
  expect(steps).toHaveLength(5);
  for (const step of steps) expect(await up.step(step ?? "")).toContain(step);
});
