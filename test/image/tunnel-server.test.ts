import { randomBytes } from "node:crypto";
import { chmod, cp, mkdir, readdir, rename, writeFile } from "node:fs/promises";
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
async function startClient(containerPort: number, flags: readonly string[] = [], from = certs) {
  await using parts = new AsyncDisposableStack();
  const service = { host: HOST, audiences: [`https://${HOST}`], containerPort };
  const google = parts.use(
    await startGoogle({ services: [{ ...service, containerProtocol: "h2c", public: true }] }),
  );
  const client = parts.use(
    await startEnvoy("tunnel-client-public", [
      ...google.serviceFlags(HOST),
      "--listen=127.0.0.1:0",
      `--cert-dir=${from}`,
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

  it("uses certificates that are replaced in its folder, those of another CA, too", async () => {
    const [port, mounted, next] = [
      await findFreePort(),
      join(folder.path, "a"),
      join(folder.path, "b"),
    ];
    for (const each of [mounted, next]) await runOrThrow(["certs", each]);
    // Those of certs name its own folder.
    const sds = join(folder.path, "sds");
    await runOrThrow(["certs", sds, "--sds-for=/certs"]);
    for (const file of await readdir(sds)) await rename(join(sds, file), join(mounted, file));
    for (const each of [mounted, next]) await chmod(join(each, FILES.key), 0o644);
    const env = [`--env=PORT=${port}`, `--env=TARGET=localhost:${tcpService.port}`];
    await using server = startContainer(
      IMAGE,
      [],
      [...LOCKED, `--volume=${mounted}:/certs:ro`, ...env],
    );
    await server.line((line) => line.includes("starting workers"));
    await using old = await startClient(port, [], mounted);
    expect(await readBanner(old.port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
    await using renewed = await startClient(port, [], next);
    for (const file of Object.values(FILES)) await rename(join(next, file), join(mounted, file));
    const banner = () => readBanner(renewed.port, { timeoutMs: 10_000 }).catch(String);
    await expect.poll(banner, { timeout: 20_000 }).toMatch(/^Congrats!/);
  });

  it("reads a key for session tickets from a folder of its own", async () => {
    const key = join(folder.path, "ticket-key");
    await mkdir(key);
    const start = async (bytes: number) => {
      await writeFile(join(key, "latest"), randomBytes(bytes));
      const port = await findFreePort();
      const env = {
        PORT: port,
        TARGET: `localhost:${tcpService.port}`,
        SESSION_TICKET_KEY: "/ticket-key/latest",
      };
      const flags = Object.entries(env).map(([name, value]) => `--env=${name}=${value}`);
      const mounts = [`--volume=${certs}:/certs:ro`, `--volume=${key}:/ticket-key:ro`];
      return { port, server: startContainer(IMAGE, [], [...LOCKED, ...mounts, ...flags]) };
    };
    const { port, server } = await start(80);
    await using _ = server;
    await server.line((line) => line.includes("starting workers"));
    await using tunnel = await startClient(port);
    expect(await readBanner(tunnel.port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
    // Envoy accepts only 80 bytes.
    const { server: refused } = await start(79);
    await refused.line((line) => line.includes("session ticket"));
    expect(await refused.ended).toBe(1);
  });

  it.each([
    ["SESSION_TICKET_KEY", "/nowhere"],
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
