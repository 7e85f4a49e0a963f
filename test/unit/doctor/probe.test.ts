import { createServer } from "node:https";
import type { RequestListener } from "node:http";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { probeCertificates, probeMint, probeService } from "../../../src/doctor/probe.ts";
import { createSet, ownersOf } from "../../../src/envoy/certificate-set.ts";
import { createCertificateAuthority } from "../../../src/envoy/certificates.ts";
import { MintError, StartError } from "../../../src/system/errors.ts";
import { listenOnLoopback } from "../../support/loopback.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const HOST = "svc-abc123-ew.a.run.app";
const ACCOUNT = "caller@project.iam.gserviceaccount.com";

/** Probes a service that answers with a status; also the requests that it got. */
async function probe(status: number, hasToken = true) {
  await using folder = await makeTemporaryFolder();
  const ca = await createCertificateAuthority("CA");
  const issued = await ca.issue({ commonName: HOST, dnsNames: [HOST], usage: "server", days: 1 });
  const caFile = join(folder.path, "ca.crt");
  await writeFile(caFile, ca.certificatePem);
  const seen: (string | undefined)[] = [];
  const answer: RequestListener = (request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(status).end();
  };
  await using server = createServer({ cert: issued.certificatePem, key: issued.privateKeyPem });
  server.on("request", answer);
  const port = await listenOnLoopback(server);
  const finding = await probeService(
    {
      service: { kind: "tcp", host: HOST, port: 443 },
      connectTo: { kind: "tcp", host: "127.0.0.1", port },
      serviceCa: caFile,
      audience: `https://${HOST}`,
      timeoutMs: 5000,
    },
    hasToken ? { token: "the.id.token", email: ACCOUNT } : undefined,
  );
  return { finding, seen };
}

describe("the call of the service before up is ready", () => {
  it.each([200, 404])("is one, with the token; %i will do", async (status) => {
    const { finding, seen } = await probe(status);
    expect(finding).toMatchObject({ value: status });
    expect(finding.remedy).toBeUndefined();
    expect(seen).toEqual(["Bearer the.id.token"]);
  });

  it.each([429, 500, 503])("warns of a service that fails itself with %i", async (status) => {
    const { finding } = await probe(status);
    expect(finding.message).toContain(`answered ${status}`);
    expect(finding.remedy).toContain("gcloud run services logs read svc");
  });

  it.each([
    [401, "audience"],
    [403, "roles/run.invoker"],
  ])("fails for %i, on one line with the remedy", async (status, remedy) => {
    await expect(probe(status)).rejects.toThrow(StartError);
    await expect(probe(status)).rejects.toThrow(remedy);
  });
});

it("a file without a certificate for --service-ca is named before the service is called", async () => {
  await using folder = await makeTemporaryFolder();
  const serviceCa = join(folder.path, "ca.txt");
  await writeFile(serviceCa, "nothing of the kind");
  const service = { kind: "tcp", host: HOST, port: 1 } as const;
  const options = { service, connectTo: undefined, serviceCa, audience: "a", timeoutMs: 5000 };
  await expect(probeService(options, { token: "the.id.token", email: ACCOUNT })).rejects.toThrow(
    new StartError(`${serviceCa} has no certificate (PEM) → check --service-ca`),
  );
});

describe("the look at a tunnel's certificates before up starts", () => {
  it("finds whom the client's is for, and fails on one line if one is missing", async () => {
    await using folder = await makeTemporaryFolder();
    const probing = () => probeCertificates(folder.path, new Date());
    await expect(probing()).rejects.toThrow(StartError);
    await expect(probing()).rejects.toThrow(/ca\.crt: .* → check --cert-dir; certs DIR/);
    for (const { name, text } of await createSet(ownersOf([]), false)) {
      await writeFile(join(folder.path, name), text);
    }
    expect((await probing()).message).toContain("client.crt is for DNS:tunnel-client");
  });
});

it("without a token, the call finds a public service, and names a private one", async () => {
  expect((await probe(404, false)).finding.message).toContain("is reached: 404 without a token");
  await expect(probe(403, false)).rejects.toThrow(/does not allow unauthenticated callers → use/);
});

describe("the mint before up is ready", () => {
  it("fails on one line with doctor's remedy", async () => {
    const refused = new MintError(
      "mint_rejected",
      "the token endpoint answered 400: invalid_grant",
      {
        peerCode: "invalid_grant",
      },
    );
    const server = {
      token: () => Promise.reject(refused),
      credential: { principal: ACCOUNT },
    };
    const probing = probeMint(server, `https://${HOST}`);
    await expect(probing).rejects.toThrow(StartError);
    await expect(probing).rejects.toThrow(
      `invalid_grant → check whether this key still exists, gcloud iam service-accounts keys list`,
    );
  });
});
