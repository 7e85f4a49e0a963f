import { expect, it } from "vitest";
import { runDoctor } from "../support/doctor.ts";
import { startEnvoy } from "../support/envoy-process.ts";
import { startGoogle } from "../support/google.ts";
import { runOrThrow } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const HOST = "tunnel-abc123-ew.a.run.app";

it("doctor counts the tunnel server's 404 as a reached service", async () => {
  await using certs = await makeTemporaryFolder();
  await runOrThrow(["certs", certs.path]);
  const flags = ["--port=0", "--target=127.0.0.1:1", `--cert-dir=${certs.path}`];
  await using envoy = await startEnvoy("tunnel-server", flags);
  const container = { containerPort: envoy.port("http"), containerProtocol: "h2c" } as const;
  await using google = await startGoogle({
    services: [{ host: HOST, audiences: [`https://${HOST}`], ...container }],
  });
  const { code, lines } = await runDoctor([
    `--credentials=${google.keyFile}`,
    ...google.serviceFlags(HOST),
  ]);
  expect(lines["service"]).toBe(`✓ https://${HOST} is reachable: 404 with the token, 403 without`);
  expect(code).toBe(0);
});
