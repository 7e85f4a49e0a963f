import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import type { EnvoyStatus } from "../../../src/envoy/supervisor.ts";
import { createEnvoyMetrics } from "../../../src/telemetry/process-metrics.ts";
import { readSeries } from "../../support/series.ts";

describe("the metrics of Envoy", () => {
  it("show at each scrape whether it is ready and how often it was started again", async () => {
    const registry = new Registry();
    let state: ReturnType<EnvoyStatus["state"]> = "ready";
    let restarts = 0;
    const metrics = async () => "";
    createEnvoyMetrics(registry, { state: () => state, restarts: () => restarts, metrics });
    const read = async (series: string) => readSeries(await registry.metrics(), series);
    expect([await read("envoy_up"), await read("envoy_restarts_total")]).toEqual([1, 0]);
    [state, restarts] = ["starting", 2];
    expect([await read("envoy_up"), await read("envoy_restarts_total")]).toEqual([0, 2]);
  });
});
