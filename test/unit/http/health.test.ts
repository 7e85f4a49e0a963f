import { describe, expect, it } from "vitest";
import type { EnvoyState, EnvoyStatus } from "../../../src/envoy/supervisor.ts";
import { buildApp } from "../../../src/http/app.ts";
import type { HealthOptions } from "../../../src/http/health.ts";
import { MintError } from "../../../src/system/errors.ts";
import { AUDIENCE, buildTestApp } from "../../support/http-app.ts";

it.each(["/livez", "/readyz", "/healthz", "/readyz?verbose"])(
  "%s is 200, without a token, when every audience has its token",
  async (url) => {
    const { app, checks } = await buildTestApp();
    const response = await app.inject(url);
    expect(response.statusCode).toBe(200);
    expect(response.headers).not.toHaveProperty("authorization");
    expect(checks).toEqual([]);
  },
);

it.each(["/readyz", "/healthz"])("%s is 503 and names each missing token", async (url) => {
  const error = new MintError("mint_unavailable", "the token endpoint answered 503");
  const { app } = await buildTestApp({
    health: {
      readiness: () => [
        { audience: AUDIENCE, token: undefined, error },
        { audience: "b", token: undefined, error: undefined },
      ],
    },
  });
  const response = await app.inject(url);
  expect(response.statusCode).toBe(503);
  expect(response.json()).toEqual({
    status: "not ready",
    missing: [
      { audience: AUDIENCE, error: "mint_unavailable", reason: "the token endpoint answered 503" },
      { audience: "b", error: "mint_pending", reason: "the first token is being minted" },
    ],
  });
});

it("a draining server is alive but not ready", async () => {
  const { app } = await buildTestApp({ health: { isDraining: () => true } });
  expect((await app.inject("/readyz")).json()).toMatchObject({ status: "draining" });
  expect((await app.inject("/readyz")).statusCode).toBe(503);
  expect((await app.inject("/livez")).statusCode).toBe(200);
});

it("/metrics serves the metrics with their content type", async () => {
  const { app } = await buildTestApp();
  const response = await app.inject("/metrics");
  expect(response.headers["content-type"]).toContain("text/plain");
  expect(response.body).toBe("a 1\n");
});

describe("the health of an Envoy that runs with the server as one", () => {
  const envoyThat = (state: EnvoyState, metrics?: string): EnvoyStatus => ({
    state: () => state,
    restarts: () => 0,
    metrics: () =>
      metrics === undefined ? Promise.reject(new Error("gone")) : Promise.resolve(metrics),
  });

  it.each([
    ["ready", 200, "ready"],
    ["starting", 503, "not ready"],
    ["restarting", 503, "not ready"],
    ["draining", 503, "draining"],
    ["stopped", 503, "not ready"],
  ] as const)("is part of /readyz: %s is %i", async (state, code, status) => {
    const { app } = await buildTestApp({ health: { envoy: envoyThat(state) } });
    const response = await app.inject("/readyz");
    expect(response.statusCode).toBe(code);
    expect(response.json()).toMatchObject({ status, envoy: state });
  });

  it("has its metrics behind the server's, and on a page of their own", async () => {
    const envoy = envoyThat("ready", "envoy_server_live 1\n");
    const app = await buildApp({ health: { ...HEALTH, envoy }, onFault: () => {} });
    expect((await app.inject("/metrics")).body).toBe("own 1\nenvoy_server_live 1\n");
    expect((await app.inject("/metrics/envoy")).body).toBe("envoy_server_live 1\n");
  });

  it("is missing in the metrics of an Envoy that does not answer", async () => {
    const envoy = envoyThat("restarting");
    const app = await buildApp({ health: { ...HEALTH, envoy }, onFault: () => {} });
    expect((await app.inject("/metrics")).body).toBe("own 1\n");
    const ofEnvoy = await app.inject("/metrics/envoy");
    expect([ofEnvoy.statusCode, ofEnvoy.body]).toEqual([503, "Envoy is restarting\n"]);
  });
});

const HEALTH: HealthOptions = {
  readiness: () => [],
  isDraining: () => false,
  metrics: { contentType: "text/plain", render: async () => "own 1\n" },
};
