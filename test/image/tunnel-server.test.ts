import { chmod, cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEnvoy } from "../support/envoy-process.ts";
import { startGoogle } from "../support/google.ts";
import { findFreePort } from "../support/loopback.ts";
import { runOrThrow } from "../support/server-process.ts";
import { readBanner, startTcpService, type TcpService } from "../support/tcp-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { LOCKED, startContainer } from "./container.ts";

const IMAGE = "localhost/idtoken-authz-tunnel-server";
const HOST = "tunnel-abc123-ew.a.run.app";
const FILES = { ca: "ca.crt", crt: "server.crt", key: "server.key" };

let tcpService: TcpService;
let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
let certs = "";
beforeAll(async () => {
  tcpService = await startTcpService();
  folder = await makeTemporaryFolder();
  await chmod(folder.path, 0o755);
  certs = join(folder.path, "certs");
  await runOrThrow(["certs", certs]);
  await chmod(join(certs, FILES.key), 0o644);
  // Cloud Run mounts each secret in its own folder.
  for (const [name, file] of Object.entries(FILES)) {
    await mkdir(join(folder.path, name));
    await cp(join(certs, file), join(folder.path, name, file));
  }
});
afterAll(async () => {
  await folder?.[Symbol.asyncDispose]();
  await tcpService?.[Symbol.asyncDispose]();
});

describe("the image of the tunnel server", () => {
  it.each([
    ["all certificates in one folder", () => [`--volume=${certs}:/certs:ro`]],
    [
      "each certificate in its own folder",
      () => Object.keys(FILES).map((n) => `--volume=${join(folder.path, n)}:/certs/${n}:ro`),
    ],
  ])("carries a TCP connection with %s", async (_, mounts) => {
    const port = await findFreePort();
    const env = [`--env=PORT=${port}`, `--env=TARGET=localhost:${tcpService.port}`];
    await using server = startContainer(IMAGE, [], [...LOCKED, ...mounts(), ...env]);
    await server.line((line) => line.includes("starting workers"));

    const service = { host: HOST, audiences: [`https://${HOST}`], containerPort: port };
    await using google = await startGoogle({
      services: [{ ...service, containerProtocol: "h2c", public: true }],
    });
    await using client = await startEnvoy("tunnel-client-public", [
      ...google.serviceFlags(HOST),
      "--listen=127.0.0.1:0",
      `--cert-dir=${certs}`,
    ]);
    expect(await readBanner(client.port("tcp"), { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
  });

  it.each([
    ["TARGET", "no-port"],
    ["TARGET", "ho/st:7777"],
    ["TARGET", "host:65536"],
    ["PORT", "80a"],
  ])("rejects %s %s before Envoy starts", async (name, value) => {
    await using container = startContainer(IMAGE, [], [...LOCKED, `--env=${name}=${value}`]);
    expect(await container.line(() => true)).toMatch(`${name} "${value}": must`);
    expect(await container.stop()).toBe(2);
  });
});
