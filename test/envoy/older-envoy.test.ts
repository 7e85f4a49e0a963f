import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { findOlderEnvoy, OLDER_ENVOYS } from "../support/envoy-binary.ts";
import { startDnsServer, withDnsServer } from "../support/dns-server.ts";
import { startEnvoy, type EnvoyProcess } from "../support/envoy-process.ts";
import { API_AUDIENCE, API_HOST, startGateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { startTcpPairs } from "../support/tcp-pairs.ts";
import { MATRIX, ROWS } from "../support/tunnel-matrix.ts";
import { startTunnel } from "../support/tunnel.ts";

const [OLDEST = ""] = OLDER_ENVOYS;
const envoyFlags = [`--envoy-version=${OLDEST}`];

/** Who ends such a connection ends it properly; not every release passes resets on. */
const PROPER_ENDS = ROWS.filter((row) => !/resets|client closes/.test(row));

// The first run on a machine downloads them.
beforeAll(() => Promise.all(OLDER_ENVOYS.map(findOlderEnvoy)), 600_000);

describe("the oldest supported Envoy", () => {
  it.each(["gateway", "gateway-push"] as const)("runs %s", async (config) => {
    await using container = await startHttpService({
      request: (_request, response) => response.end("hello"),
    });
    await using gateway = await startGateway({ container, config, envoyFlags });
    const response = await fetch(gateway.url);
    expect(await response.text()).toBe("hello");
    expect(gateway.google.cloudRun.requests.at(-1)?.identity?.audience).toBe(API_AUDIENCE);
    expect(gateway.envoy.logs()).not.toMatch(/envoy_bug/);
  });

  it("runs gateway-any, which resolves names and refuses addresses that are not public", async () => {
    await using container = await startHttpService({
      request: (_request, response) => response.end("hello"),
    });
    await using gateway = await startGateway({ container });
    const { google, authServer } = gateway;
    const [, connectTo = "", serviceCa = ""] = google.serviceFlags(API_HOST);
    const flags = [
      serviceCa,
      `--authz=${authServer.address}`,
      "--listen=127.0.0.1:0",
      ...envoyFlags,
    ];
    const statusOf = async (envoy: EnvoyProcess) => {
      const options = { host: "127.0.0.1", port: envoy.port("http"), headers: { host: API_HOST } };
      const [response] = (await once(request(options).end(), "response")) as [IncomingMessage];
      response.resume();
      return response.statusCode;
    };
    await using fixed = await startEnvoy("gateway-any", [...flags, connectTo]);
    expect(await statusOf(fixed)).toBe(200);
    await using dns = await startDnsServer(["127.0.0.1"]);
    await using resolving = await startEnvoy("gateway-any", flags, (config) =>
      withDnsServer(config, dns),
    );
    expect(await statusOf(resolving)).toBe(403);
    expect(dns.names).toEqual(new Set([API_HOST]));
  });

  it.each(["tunnel-client", "tunnel-client-push"] as const)("runs %s", async (client) => {
    await using tunnel = await startTunnel({ client, envoyFlags });
    const socket = connect(tunnel.port, "127.0.0.1");
    const [banner] = await once(socket, "data");
    expect(String(banner)).toContain("Congrats");
    socket.destroy();
    for (const envoy of [tunnel.tunnelClient, tunnel.tunnelServer]) {
      expect(envoy.logs()).not.toMatch(/envoy_bug/);
    }
  });
});

describe.each(OLDER_ENVOYS)("Envoy %s at both ends of shared tunnels", (version) => {
  it.each([1, 20])("loses nothing with --streams-per-tunnel %i", async (streams) => {
    await using pairs = await startTcpPairs();
    await using tunnel = await startTunnel({
      envoyFlags: [`--envoy-version=${version}`],
      clientFlags: [`--streams-per-tunnel=${streams}`],
      relay: true,
      targetPort: pairs.port,
    });
    for (const row of PROPER_ENDS) {
      for (const size of [20_000, 1_048_576]) {
        using pair = await pairs.connect(tunnel.port);
        const fault = await MATRIX[row](pair, size);
        expect({ row, size, fault }).toEqual({ row, size, fault: undefined });
      }
    }
    for (const envoy of [tunnel.tunnelClient, tunnel.tunnelServer]) {
      expect(envoy.logs()).not.toMatch(/critical/);
    }
  });
});
