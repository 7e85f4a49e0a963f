import { expect, it } from "vitest";
import type { EnvoyStatus } from "../../../src/envoy/supervisor.ts";
import { serveHealth } from "../../../src/server/endpoints.ts";
import { findFreePort } from "../../support/loopback.ts";
import { createContext } from "../../support/server-context.ts";

it("A process without tokens serves health and metrics of its Envoy, and no checks.", async () => {
  const port = await findFreePort();
  const envoy: EnvoyStatus = {
    state: () => "ready",
    restarts: () => 3,
    metrics: async () => "envoy_own 1\n",
  };
  const { log } = createContext();
  const stop = await serveHealth({ kind: "tcp", host: "127.0.0.1", port }, envoy, log);
  try {
    const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
    expect((await get("/readyz")).status).toBe(200);
    expect(await (await get("/metrics")).text()).toMatch(/^idtoken_authz_envoy_restarts_total 3$/m);
    expect((await get("/check")).status).toBe(404);
  } finally {
    await stop();
  }
});
