import { describe, expect, it } from "vitest";
import { pollEvery } from "../support/push.ts";
import { readBanner } from "../support/tcp-service.ts";
import { startTunnel, TUNNEL_AUDIENCE, type Tunnel } from "../support/tunnel.ts";

const start = (more: Parameters<typeof startTunnel>[0] = {}) =>
  startTunnel({ client: "tunnel-client-push", editClient: pollEvery("0.5s"), ...more });

/** Opens a tunnel and returns the identity in its token. */
async function openTunnel({ port, google }: Tunnel) {
  expect(await readBanner(port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
  return google.cloudRun.requests.at(-1)?.identity;
}

describe("tunnel-client-push", () => {
  it("opens tunnels with a token for the default audience, and with each renewed one", async () => {
    await using tunnel = await start({ tokenLifeSeconds: 6 });
    expect((await openTunnel(tunnel))?.audience).toBe(TUNNEL_AUDIENCE);
    const seen = new Set<unknown>();
    while (seen.size < 3) seen.add((await openTunnel(tunnel))?.expiresAtSeconds);
    expect(tunnel.google.cloudRun.refused()).toBe(0);
  });

  it("opens tunnels while the auth server is down", async () => {
    await using tunnel = await start();
    await tunnel.authServer.stop("SIGKILL");
    await tunnel.tunnelClient.line("REST update for /v3/discovery:secrets failed");
    for (let tunnels = 0; tunnels < 10; tunnels++) await openTunnel(tunnel);
    expect(tunnel.google.cloudRun.refused()).toBe(0);
  });

  it("is denied by Cloud Run when it has no token, and logs the reason", async () => {
    const unknown = "https://unknown.example.com";
    const editClient = (config: string) => config.replace("name: default", `name: "${unknown}"`);
    await using tunnel = await start({ editClient });
    await expect(readBanner(tunnel.port, { timeoutMs: 10_000 })).rejects.toThrow("it closed");
    await tunnel.tunnelClient.line(`rejected: Missing SDS resources for ${unknown}`);
    await tunnel.tunnelClient.line("tunnel refused: ");
    expect(tunnel.tunnelClient.logs()).toContain("reason=tunnel_response:403");
    expect(tunnel.google.cloudRun.refused("missing")).toBeGreaterThan(0);
  });
});
