import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { MINT_CODES } from "../../../src/system/errors.ts";
import { createRequestMetrics } from "../../../src/telemetry/request-metrics.ts";
import { readSeries } from "../../support/series.ts";

function setUp() {
  const registry = new Registry();
  const metrics = createRequestMetrics(registry, () => 1_800_000_000);
  const read = async (series: string) => readSeries(await registry.metrics(), series);
  return { metrics, read };
}

describe("the metrics of requests", () => {
  it("start at 0 for every outcome that a rate may be taken of", async () => {
    const { read } = setUp();
    for (const outcome of ["ok", "audience_missing", "check_secret_wrong", ...MINT_CODES]) {
      expect(await read(`checks_total{protocol="grpc",outcome="${outcome}"}`)).toBe(0);
      expect(await read(`pushes_total{outcome="${outcome}"}`)).toBe(0);
    }
    expect(await read('pushes_total{outcome="push_malformed"}')).toBe(0);
  });

  it("count checks and pushes by outcome, and measure checks in seconds", async () => {
    const { metrics, read } = setUp();
    metrics.checked("http", "ok", 30);
    metrics.checked("grpc", "mint_timeout", 5000);
    metrics.pushed("push_too_large");
    expect(await read('checks_total{protocol="http",outcome="ok"}')).toBe(1);
    expect(await read('checks_total{protocol="grpc",outcome="mint_timeout"}')).toBe(1);
    expect(await read("check_duration_seconds_sum")).toBe(5.03);
    expect(await read('check_duration_seconds_bucket{le="0.1"}')).toBe(1);
    expect(await read('pushes_total{outcome="push_too_large"}')).toBe(1);
  });

  it("count the checks of a caller that the policy names", async () => {
    const { metrics, read } = setUp();
    metrics.checked("http", "ok", 1, "spiffe://shop/web");
    metrics.checked("http", "ok", 1);
    expect(await read('caller_checks_total{caller="spiffe://shop/web",outcome="ok"}')).toBe(1);
  });

  it("count gRPC calls that were refused", async () => {
    const { metrics, read } = setUp();
    metrics.grpcCallRefused();
    expect(await read("grpc_calls_refused_total")).toBe(1);
  });

  it("have the certificate's expiry and count refused handshakes", async () => {
    const { metrics, read } = setUp();
    metrics.handshakeRefused();
    expect(await read("tls_certificate_expiry_timestamp_seconds")).toBe(1_800_000_000);
    expect(await read("tls_handshakes_refused_total")).toBe(1);
  });
});
