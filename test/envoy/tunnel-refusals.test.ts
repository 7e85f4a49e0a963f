import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTunnel, type Tunnel, type TunnelOptions } from "../support/tunnel.ts";
import { startUnresponsiveServer } from "../support/unresponsive-server.ts";

const shared = (streams: number) =>
  ({ relay: true, clientFlags: [`--streams-per-tunnel=${streams}`] }) as const;
const BY_RELAY = { refused: "ECONNREFUSED", gone: "ETIMEDOUT" };
const KINDS = [
  { kind: "a tunnel per connection", options: {}, refused: "UF", gone: "UF" },
  { kind: "one stream per tunnel", options: shared(1), ...BY_RELAY },
  { kind: "shared tunnels", options: shared(20), ...BY_RELAY },
] as const;
/** Why Envoy gets no token by push. */
const NO_PUSH = [
  {
    why: "for an audience that is not allowed",
    editClient: (config: string) =>
      config.replace("name: default", 'name: "https://unknown.example.com"'),
  },
  {
    why: "from an auth server that is down",
    editClient: (config: string) =>
      config.replace(/(?<=cluster_name: authz\s[^]*?port_value: )\d+/, "1"),
  },
  { why: "from an auth server that refuses", hasSecret: true },
] as const;
const isShared = (options: TunnelOptions) => options.relay === true;

/** Makes the auth server demand a secret, which Envoy does not have. */
async function checkSecretFlags(folder: string): Promise<readonly string[]> {
  const file = join(folder, "check-secret");
  await writeFile(file, "correct horse battery staple\n");
  return [`--check-secret-file=${file}`];
}

/** Sends a line and resolves with what comes until the connection is closed; a reset is a close, too. */
async function answerOn(port: number): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  socket.write("hello\n");
  return String(await buffer(socket).catch(() => ""));
}

/** The reason that the service's end logs when it cannot reach the TCP server. */
async function unreachableReason({ relay, tunnelClient, tunnelServer }: Tunnel): Promise<unknown> {
  if (relay === undefined) {
    return /flags=(\w+)/.exec(await tunnelServer.line("connection closed: "))?.[1];
  }
  await tunnelClient.line("connection refused: status=503");
  return (await relay.event("target_unreachable"))["code"];
}

describe.each(KINDS)(
  "With $kind, a connection is closed, and the reason logged,",
  ({ options, refused, gone: unanswered }) => {
    it("when the auth server is down", { timeout: 60_000 }, async () => {
      await using tunnel = await startTunnel(options);
      await tunnel.authServer.stop("SIGKILL");
      expect(await answerOn(tunnel.port)).toBe("");
      expect(await tunnel.tunnelClient.line("tunnel refused")).toContain("status=503");
      if (isShared(options)) await tunnel.tunnelClient.line("connection refused: status=503");
      expect(tunnel.google.cloudRun.requests).toEqual([]);
    });

    it("when the auth server refuses", async () => {
      await using folder = await makeTemporaryFolder();
      const serveFlags = await checkSecretFlags(folder.path);
      await using tunnel = await startTunnel({ ...options, serveFlags });
      expect(await answerOn(tunnel.port)).toBe("");
      expect(await tunnel.tunnelClient.line("tunnel refused")).toContain("status=403");
      if (isShared(options)) await tunnel.tunnelClient.line("connection refused: status=503");
      expect(tunnel.google.cloudRun.requests).toEqual([]);
    });

    // Envoy waits for the first token for 15 s.
    const waits = { timeout: 60_000 };
    it.each(NO_PUSH)("when there is no pushed token $why", waits, async (reason) => {
      await using folder = await makeTemporaryFolder();
      const serveFlags = "hasSecret" in reason ? await checkSecretFlags(folder.path) : [];
      const client = "tunnel-client-push";
      await using tunnel = await startTunnel({ ...options, ...reason, client, serveFlags });
      expect(await answerOn(tunnel.port)).toBe("");
      await tunnel.tunnelClient.line("tunnel refused: ");
      if (isShared(options)) await tunnel.tunnelClient.line("connection refused: status=503");
      expect(tunnel.google.cloudRun.refused("missing")).toBeGreaterThan(0);
    });

    it("when the TCP server refuses", async () => {
      await using tunnel = await startTunnel(options);
      await tunnel.tcpService.close();
      expect(await answerOn(tunnel.port)).toBe("");
      expect(await unreachableReason(tunnel)).toBe(refused);
    });

    it("when the TCP server's machine is gone", async () => {
      await using gone = await startUnresponsiveServer();
      await using tunnel = await startTunnel({ ...options, targetPort: gone.port });
      expect(await answerOn(tunnel.port)).toBe("");
      expect(await unreachableReason(tunnel)).toBe(unanswered);
    });
  },
);
