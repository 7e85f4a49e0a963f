import { describe, expect, it } from "vitest";
import { API_AUDIENCE, startGateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { httpAttempt, startLoad, type Load } from "../support/load.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { readBanner } from "../support/tcp-service.ts";
import { startTunnel, TUNNEL_AUDIENCE } from "../support/tunnel.ts";

const RESTARTS = 3;

/** Stops the auth server repeatedly under load and starts another one on the same address. */
async function restartUnder(
  load: Load,
  first: ServerProcess,
  flags: readonly string[],
  signal: NodeJS.Signals,
): Promise<void> {
  await using servers = new AsyncDisposableStack();
  let server = first;
  for (let restart = 0; restart < RESTARTS; restart++) {
    await load.more(300);
    await server.stop(signal);
    server = servers.use(await startServer([...flags, `--listen=${first.address}`]));
  }
  await load.more(300);
  expect(await load.stop()).toEqual({ ok: expect.any(Number) });
}

describe.each(["SIGKILL", "SIGTERM"] as const)("a restart of the auth server by %s", (signal) => {
  it("loses no request through the gateway", async () => {
    await using container = await startHttpService({
      request: (_request, response) => response.end("hello"),
    });
    await using gateway = await startGateway({ container });
    const { google, authServer, url } = gateway;
    const flags = [`--credentials=${google.keyFile}`, `--audience=${API_AUDIENCE}`];
    await restartUnder(startLoad(16, httpAttempt(url)), authServer, flags, signal);
    expect(google.cloudRun.refused()).toBe(0);
  });

  it("loses no connection through the tunnel", async () => {
    await using tunnel = await startTunnel();
    const { google, authServer, port } = tunnel;
    const flags = [`--credentials=${google.keyFile}`, `--audience=${TUNNEL_AUDIENCE}`];
    const connectOnce = async () => {
      await readBanner(port, { timeoutMs: 15_000 });
      return "ok";
    };
    await restartUnder(startLoad(16, connectOnce), authServer, flags, signal);
    expect(google.cloudRun.refused()).toBe(0);
  });
});
