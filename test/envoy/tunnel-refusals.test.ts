import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTunnel, type Tunnel, type TunnelOptions } from "../support/tunnel.ts";
import { startUnresponsiveServer } from "../support/unresponsive-server.ts";

const SHARED = { relay: true, clientFlags: ["--streams-per-tunnel=20"] } as const;
const KINDS = [
  { kind: "a tunnel per connection", options: {}, refused: "UF", gone: "UF" },
  { kind: "shared tunnels", options: SHARED, refused: "ECONNREFUSED", gone: "ETIMEDOUT" },
] as const;
const isShared = (options: TunnelOptions) => options.relay === true;

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
      const file = join(folder.path, "check-secret");
      await writeFile(file, "correct horse battery staple\n");
      // Envoy has no secret.
      const serveFlags = [`--check-secret-file=${file}`];
      await using tunnel = await startTunnel({ ...options, serveFlags });
      expect(await answerOn(tunnel.port)).toBe("");
      expect(await tunnel.tunnelClient.line("tunnel refused")).toContain("status=403");
      if (isShared(options)) await tunnel.tunnelClient.line("connection refused: status=503");
      expect(tunnel.google.cloudRun.requests).toEqual([]);
    });

    it("when there is no pushed token", async () => {
      const client = "tunnel-client-push";
      const editClient = (config: string) =>
        config.replace("name: default", 'name: "https://unknown.example.com"');
      await using tunnel = await startTunnel({ ...options, client, editClient });
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
