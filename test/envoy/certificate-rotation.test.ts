import { once } from "node:events";
import { rename, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inUse, serialOf } from "../support/certificates-in-use.ts";
import { findOlderEnvoy, OLDER_ENVOYS } from "../support/envoy-binary.ts";
import { runOrThrow } from "../support/server-process.ts";
import { BANNER } from "../support/tcp-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import {
  startTunnel,
  startTunnelService,
  TUNNEL_HOST,
  type Tunnel,
  type TunnelOptions,
} from "../support/tunnel.ts";
import { startUp } from "../support/up.ts";

/** Which client certificate each of the tunnel server's connections had, in its access log. */
const logSerials = (config: string) =>
  config.replaceAll("%DOWNSTREAM_PEER_SUBJECT%", "%DOWNSTREAM_PEER_SERIAL%");

/** Opens a connection through the tunnel and reads the banner. */
async function open({ port }: { readonly port: number }): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await read(socket, BANNER);
  return socket;
}

async function read(socket: Socket, expected: string): Promise<void> {
  let received = "";
  while (received.length < expected.length) received += String((await once(socket, "data"))[0]);
  expect(received).toBe(expected);
}

async function echo(socket: Socket): Promise<void> {
  socket.write("still here");
  await read(socket, "still here");
}

/** Resolves when both ends use the certificates in a folder. */
async function bothFollow({ tunnelClient, tunnelServer }: Tunnel, folder: string): Promise<void> {
  await inUse(tunnelClient, await serialOf(folder, "client"));
  await inUse(tunnelServer, await serialOf(folder, "server"));
}

const SHAPES: readonly (TunnelOptions & { readonly name: string })[] = [
  { name: "tunnel-client" },
  { name: "tunnel-client with shared tunnels", clientFlags: ["--streams-per-tunnel=1"] },
  { name: "tunnel-client-push", client: "tunnel-client-push" },
];

describe("certificates that are replaced while the tunnel runs", () => {
  it.each(SHAPES)(
    "are used by both ends for new connections, while open ones go on: $name",
    async (shape) => {
      await using tunnel = await startTunnel({ ...shape, editServer: logSerials });
      const { certDir, tunnelServer } = tunnel;
      const old = await serialOf(certDir, "client");
      const before = await open(tunnel);
      await runOrThrow(["certs", certDir, "--renew"]);
      await bothFollow(tunnel, certDir);
      const after = await open(tunnel);
      await echo(before);
      const renewed = await serialOf(certDir, "client");
      expect(renewed).not.toBe(old);
      after.destroy();
      expect(await tunnelServer.line(`peer=${renewed}`)).toContain("connection closed");
      expect(tunnelServer.logs()).not.toContain(`peer=${old}`);
      await echo(before);
      before.destroy();
      await tunnelServer.line(`peer=${old}`);
    },
  );

  it("are used by `up`, which needs no further files for it", async () => {
    await using service = await startTunnelService({ editServer: logSerials });
    const { certDir, google, tunnelServer } = service;
    await rm(join(certDir, "client.sds.yaml"));
    const flags = [
      `--credentials=${google.keyFile}`,
      ...google.serviceFlags(TUNNEL_HOST),
      `--cert-dir=${certDir}`,
    ];
    await using up = await startUp("tunnel-client", flags);
    await runOrThrow(["certs", certDir, "--renew"]);
    const renewed = `peer=${await serialOf(certDir, "client")}`;
    // Each iteration waits for a connection, which the tunnel server logs.
    while (!tunnelServer.logs().includes(renewed)) (await open(up)).destroy();
    expect(await tunnelServer.line(renewed)).toContain("connection closed");
  });

  it("may be of another authority, if both ends get its certificate", async () => {
    await using tunnel = await startTunnel({ editServer: logSerials });
    const { certDir, tunnelClient, tunnelServer } = tunnel;
    const before = await open(tunnel);
    await using other = await makeTemporaryFolder();
    await runOrThrow(["certs", other.path]);
    const [authority, client] = [
      await serialOf(other.path, "ca"),
      await serialOf(other.path, "client"),
    ];
    for (const name of ["ca.crt", "client.crt", "client.key", "server.crt", "server.key"]) {
      await rename(join(other.path, name), join(certDir, name));
    }
    await inUse(tunnelClient, authority);
    await inUse(tunnelServer, authority);
    await bothFollow(tunnel, certDir);
    const after = await open(tunnel);
    after.destroy();
    expect(await tunnelServer.line(`peer=${client}`)).toContain("connection closed");
    await echo(before);
    before.destroy();
  });

  it("stay in use if the new ones are unusable", async () => {
    await using tunnel = await startTunnel({ editServer: logSerials });
    const { certDir, tunnelServer } = tunnel;
    const old = await serialOf(certDir, "client");
    await rename(join(certDir, "ca.sds.yaml"), join(certDir, "server.crt"));
    await tunnelServer.line("Failed to load certificate");
    (await open(tunnel)).destroy();
    expect(await tunnelServer.line(`peer=${old}`)).toContain("connection closed");
  });

  it.each(OLDER_ENVOYS)(
    "are used without a restart of Envoy %s",
    async (version) => {
      await findOlderEnvoy(version);
      const envoyFlags = [`--envoy-version=${version}`];
      await using tunnel = await startTunnel({ envoyFlags, editServer: logSerials });
      await runOrThrow(["certs", tunnel.certDir, "--renew"]);
      await bothFollow(tunnel, tunnel.certDir);
      (await open(tunnel)).destroy();
      const renewed = `peer=${await serialOf(tunnel.certDir, "client")}`;
      expect(await tunnel.tunnelServer.line(renewed)).toContain("connection closed");
    },
    600_000,
  );
});
