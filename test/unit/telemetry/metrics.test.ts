import { describe, expect, it } from "vitest";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import type { IdToken } from "../../../src/tokens/id-token.ts";
import { AUDIENCE, credentialOf, token } from "../../support/minted.ts";
import { readSeries } from "../../support/series.ts";

function setUp() {
  const cached: { token: IdToken | undefined } = { token: undefined };
  const metrics = createMetrics({
    readiness: () => [{ audience: AUDIENCE, token: cached.token }],
    cachedAudiences: () => 3,
    credential: credentialOf("first"),
  });
  const read = async (series: string) => readSeries(await metrics.render(), series);
  return { metrics, cached, read };
}

describe("metrics", () => {
  it("keep the expiry of a token that has expired", async () => {
    const { cached, read } = setUp();
    const series = `token_expiry_timestamp_seconds{audience="${AUDIENCE}"}`;
    expect(await read(series)).toBe(0);
    cached.token = token;
    expect(await read(series)).toBe(1_800_000_000);
    cached.token = undefined;
    expect(await read(series)).toBe(1_800_000_000);
    expect(await read("cached_audiences")).toBe(3);
  });

  it("end in _total exactly when they are counters", async () => {
    const text = await setUp().metrics.render();
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    expect(types.length).toBeGreaterThan(20);
    for (const [, name, type] of types)
      expect([name, name?.endsWith("_total")]).toEqual([name, type === "counter"]);
  });

  it("never contain a token", async () => {
    const { metrics, cached } = setUp();
    cached.token = token;
    metrics.minted({ token, reason: "cold", durationMs: 1 });
    expect(await metrics.render()).not.toContain("eyJtoken");
  });
});
