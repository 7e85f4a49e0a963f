import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { MINT_CODES, MintError } from "../../../src/system/errors.ts";
import { createCredentialMetrics, createMintMetrics } from "../../../src/telemetry/mint-metrics.ts";
import { readSeries } from "../../support/series.ts";
import { AUDIENCE, credentialOf, token } from "../../support/minted.ts";

function setUp() {
  const registry = new Registry();
  const metrics = {
    ...createMintMetrics(registry),
    ...createCredentialMetrics(registry, credentialOf("first")),
  };
  const read = async (series: string) => readSeries(await registry.metrics(), series);
  return { metrics, read };
}

describe("the metrics of mints", () => {
  it("count by outcome and reason", async () => {
    const { metrics, read } = setUp();
    const error = new MintError("mint_rejected", "refused");
    metrics.minted({ token, reason: "cold", durationMs: 250 });
    metrics.mintFailed({ audience: AUDIENCE, reason: "renewal", error, durationMs: 250 });
    expect(await read('mints_total{outcome="ok",reason="cold"}')).toBe(1);
    expect(await read('mints_total{outcome="mint_rejected",reason="renewal"}')).toBe(1);
    expect(await read("mint_duration_seconds_sum")).toBe(0.5);
  });

  it("show the clock's skew in seconds", async () => {
    const { metrics, read } = setUp();
    metrics.clockCompared(-1500);
    expect(await read("clock_skew_seconds")).toBe(-1.5);
  });
});

describe("the metrics of the credential", () => {
  it("start at 0 for every outcome of a rotation", async () => {
    const { read } = setUp();
    for (const outcome of ["ok", "invalid_file", ...MINT_CODES]) {
      expect(await read(`credential_swaps_total{outcome="${outcome}"}`)).toBe(0);
    }
  });

  it("name the credential in use and no earlier one", async () => {
    const { metrics, read } = setUp();
    const info = (principal: string) =>
      read(
        `credential_info{type="service_account",principal="${principal}",key_id="key of ${principal}"}`,
      );
    expect(await info("first")).toBe(1);
    metrics.rotationFailed({ outcome: "invalid_file", error: new Error("no JSON"), isNew: true });
    expect(await info("first")).toBe(1);
    metrics.rotated(credentialOf("second"), credentialOf("first"));
    expect(await info("first")).toBeUndefined();
    expect(await info("second")).toBe(1);
    expect(await read('credential_swaps_total{outcome="ok"}')).toBe(1);
    expect(await read('credential_swaps_total{outcome="invalid_file"}')).toBe(1);
  });
});
