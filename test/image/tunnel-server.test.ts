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
const RELAY_IMAGE = "localhost/idtoken-authz";
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

/** Starts a client's Envoy, and Cloud Run in front of the server's port. */
async function startClient(containerPort: number, flags: readonly string[] = []) {
  await using parts = new AsyncDisposableStack();
  const service = { host: HOST, audiences: [`https://${HOST}`], containerPort };
  const google = parts.use(
    await startGoogle({ services: [{ ...service, containerProtocol: "h2c", public: true }] }),
  );
  const client = parts.use(
    await startEnvoy("tunnel-client-public", [
      ...google.serviceFlags(HOST),
      "--listen=127.0.0.1:0",
      `--cert-dir=${certs}`,
      ...flags,
    ]),
  );
  const all = parts.move();
  return { port: client.port("tcp"), [Symbol.asyncDispose]: () => all.disposeAsync() };
}

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

    await using tunnel = await startClient(port);
    expect(await readBanner(tunnel.port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
  });

  it("carries connections that share a tunnel to a relay", async () => {
    const [port, relayPort] = [await findFreePort(), await findFreePort()];
    const relayFlags = [`--listen=127.0.0.1:${relayPort}`, `--target=127.0.0.1:${tcpService.port}`];
    await using relay = startContainer(RELAY_IMAGE, ["relay", ...relayFlags], LOCKED);
    await relay.line((line) => line.includes('"event":"listening"'));
    // Nothing listens there: only the relay leads to the TCP server.
    const env = [
      `--env=PORT=${port}`,
      "--env=TARGET=127.0.0.1:9",
      `--env=RELAY=localhost:${relayPort}`,
    ];
    const mount = `--volume=${certs}:/certs:ro`;
    await using server = startContainer(IMAGE, [], [...LOCKED, mount, ...env]);
    await server.line((line) => line.includes("starting workers"));

    await using tunnel = await startClient(port, ["--streams-per-tunnel=20"]);
    const banners = [1, 2].map(() => readBanner(tunnel.port, { timeoutMs: 10_000 }));
    for (const banner of await Promise.all(banners)) expect(banner).toMatch(/^Congrats!/);
  });

  it.each([
    ["TARGET", "no-port"],
    ["TARGET", "ho/st:7777"],
    ["TARGET", "host:65536"],
    ["PORT", "80a"],
    ["RELAY", "127.0.0.1"],
  ])("rejects %s %s before Envoy starts", async (name, value) => {
    await using container = startContainer(IMAGE, [], [...LOCKED, `--env=${name}=${value}`]);
    expect(await container.line(() => true)).toMatch(`${name} "${value}": must`);
    expect(await container.stop()).toBe(2);
  });
});
