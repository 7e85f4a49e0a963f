import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, it } from "vitest";
import type { EnvoyProcess } from "../support/envoy-process.ts";
import { startGateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { startTunnel } from "../support/tunnel.ts";

const CLIENTS = 100;

/** Waits until a gauge of Envoy has a value. Each turn is a request to Envoy. */
async function gaugeReaches({ adminPort }: EnvoyProcess, name: string, value: number) {
  const url = `http://127.0.0.1:${adminPort}/stats?filter=^${RegExp.escape(name)}$`;
  while (!(await (await fetch(url)).text()).includes(`${name}: ${value}\n`)) continue;
}

/** Opens connections, each with a first message. */
async function openMany(port: number, message: string): Promise<readonly Socket[]> {
  const sockets = Array.from({ length: CLIENTS }, () => connect(port, "127.0.0.1"));
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  for (const socket of sockets) socket.write(message);
  return sockets;
}

const REQUESTS = "http.http.downstream_rq_active";

it("tunnel-client opens no stream to Cloud Run for clients that reset while the auth server hung", async () => {
  await using tunnel = await startTunnel();
  const { tunnelClient, authServer, google } = tunnel;
  authServer.signal("SIGSTOP");
  const sockets = await openMany(tunnel.port, "");
  await gaugeReaches(tunnelClient, REQUESTS, CLIENTS);
  for (const socket of sockets) socket.resetAndDestroy();
  await gaugeReaches(tunnelClient, REQUESTS, 0);
  authServer.signal("SIGCONT");
  const client = connect(tunnel.port, "127.0.0.1");
  const [banner] = await once(client, "data");
  client.destroy();
  expect(String(banner)).toContain("Congrats");
  expect(google.cloudRun.requests).toHaveLength(1);
});

it("gateway sends no request to Cloud Run for clients that reset while the auth server hung", async () => {
  await using container = await startHttpService({
    request: (_request, response) => response.end("hello"),
  });
  await using gateway = await startGateway({ container });
  const { envoy, authServer, google } = gateway;
  authServer.signal("SIGSTOP");
  const sockets = await openMany(gateway.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await gaugeReaches(envoy, REQUESTS, CLIENTS);
  for (const socket of sockets) socket.resetAndDestroy();
  await gaugeReaches(envoy, REQUESTS, 0);
  authServer.signal("SIGCONT");
  expect((await fetch(gateway.url)).status).toBe(200);
  expect(google.cloudRun.requests).toHaveLength(1);
});
