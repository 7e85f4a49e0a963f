import { describe, expect, it } from "vitest";
import type { Credential } from "../../../src/credentials/credential.ts";
import { MintError } from "../../../src/system/errors.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import type { IdToken } from "../../../src/tokens/id-token.ts";

const AUDIENCE = "https://a.run.app";
const token: IdToken = {
  audience: AUDIENCE,
  header: "Bearer eyJtoken",
  expiresAtSeconds: 1_800_000_000,
  obtainedAt: { wallMs: 0, monotonicMs: 0 },
  lifeMs: 3_600_000,
  skewMs: 0,
};

const credentialOf = (principal: string): Credential => ({
  type: "service_account",
  principal,
  keyId: "key",
  endpoint: new URL("https://oauth2.googleapis.com/token"),
  mint: async () => token,
  mintAs: () => async () => token,
});

function setUp() {
  const cached: { token: IdToken | undefined } = { token: undefined };
  const metrics = createMetrics({
    readiness: () => [{ audience: AUDIENCE, token: cached.token }],
    cachedAudiences: () => 3,
    credential: credentialOf("first"),
  });
  /** The value of a series, undefined where there is none. */
  async function read(series: string): Promise<number | undefined> {
    const lines = (await metrics.render()).split("\n");
    const line = lines.find((each) => each.startsWith(`idtoken_authz_${series} `));
    return line === undefined ? undefined : Number(line.split(" ").at(-1));
  }
  return { metrics, cached, read };
}

describe("metrics", () => {
  it("start at 0 for every outcome that a rate may be taken of", async () => {
    const { read } = setUp();
    const codes = ["mint_rejected", "mint_unavailable", "mint_timeout", "mint_invalid_answer"];
    for (const outcome of ["ok", "audience_missing", "check_secret_wrong", ...codes]) {
      expect(await read(`checks_total{protocol="grpc",outcome="${outcome}"}`)).toBe(0);
      expect(await read(`pushes_total{outcome="${outcome}"}`)).toBe(0);
    }
    expect(await read('pushes_total{outcome="push_malformed"}')).toBe(0);
    for (const outcome of ["ok", "invalid_file", ...codes]) {
      expect(await read(`credential_swaps_total{outcome="${outcome}"}`)).toBe(0);
    }
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

  it("count mints by outcome and reason", async () => {
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

  it("name the credential in use and no earlier one", async () => {
    const { metrics, read } = setUp();
    const info = (principal: string) =>
      read(`credential_info{type="service_account",principal="${principal}",key_id="key"}`);
    expect(await info("first")).toBe(1);
    metrics.rotationFailed({ outcome: "invalid_file", error: new Error("no JSON"), isNew: true });
    expect(await info("first")).toBe(1);
    metrics.rotated(credentialOf("second"), credentialOf("first"));
    expect(await info("first")).toBeUndefined();
    expect(await info("second")).toBe(1);
    expect(await read('credential_swaps_total{outcome="ok"}')).toBe(1);
    expect(await read('credential_swaps_total{outcome="invalid_file"}')).toBe(1);
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
