import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import {
  logSecretEvents,
  logServerEvents,
  reportToBoth,
} from "../../../src/telemetry/server-events.ts";
import { AUDIENCE, credentialOf, token } from "../../support/minted.ts";

function setUp() {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger("debug", { write: (line) => lines.push(JSON.parse(line)) });
  return { events: logServerEvents(log), secretEvents: logSecretEvents(log), lines };
}

describe("logServerEvents", () => {
  it("logs a mint without its token", () => {
    const { events, lines } = setUp();
    events.minted({ token, reason: "cold", durationMs: 7 });
    expect(lines).toMatchObject([
      { event: "minted", audience: AUDIENCE, durationMs: 7, expiresAtSeconds: 1_800_000_000 },
    ]);
    expect(JSON.stringify(lines)).not.toContain("eyJtoken");
  });

  it.each([
    ["cold", "error"],
    ["renewal", "warn"],
    ["swap", "debug"],
  ] as const)("logs a failed %s mint at level %s", (reason, level) => {
    const { events, lines } = setUp();
    const error = new MintError("mint_timeout", "no answer");
    events.mintFailed({ audience: AUDIENCE, reason, error, durationMs: 7 });
    expect(lines).toMatchObject([
      { event: "mint_failed", level, reason, err: { code: "mint_timeout" } },
    ]);
  });

  it("logs clock skew when it appears, changes by 10 seconds or disappears", () => {
    const { events, lines } = setUp();
    for (const skewMs of [9999, 60_000, 65_000, -70_000, 1000, 0]) events.clockCompared(skewMs);
    expect(lines).toMatchObject([
      { event: "clock_skewed", clockSkewSeconds: 60 },
      { event: "clock_skewed", clockSkewSeconds: -70 },
      { event: "clock_corrected", clockSkewSeconds: 1 },
    ]);
  });

  it("logs a rotation with the new and the old credential", () => {
    const { events, lines } = setUp();
    events.rotated(credentialOf("new"), credentialOf("old"));
    expect(lines).toMatchObject([
      {
        event: "credential_rotated",
        principal: "new",
        previous: { principal: "old", keyId: "key of old" },
      },
    ]);
  });

  it("logs a rejected credential as an error the first time only", () => {
    const { events, lines } = setUp();
    const failure = { outcome: "invalid_file", error: new Error("no JSON") } as const;
    events.rotationFailed({ ...failure, isNew: true });
    events.rotationFailed({ ...failure, isNew: false });
    expect(lines).toMatchObject([
      { event: "credential_rejected", level: "error" },
      { event: "credential_rejected", level: "debug" },
    ]);
  });
});

it("logSecretEvents logs a new check secret and an unusable one", () => {
  const { secretEvents, lines } = setUp();
  secretEvents.secretChanged();
  secretEvents.secretUnusable(new Error("empty"));
  expect(lines).toMatchObject([
    { event: "check_secret_rotated", level: "info" },
    { event: "check_secret_rejected", level: "error", err: { message: "empty" } },
  ]);
});

it("reportToBoth reports every event twice", () => {
  const one = setUp();
  const other = setUp();
  const both = reportToBoth(one.events, other.events);
  both.minted({ token, reason: "cold", durationMs: 1 });
  const error = new MintError("mint_timeout", "no answer");
  both.mintFailed({ audience: AUDIENCE, reason: "cold", error, durationMs: 1 });
  both.clockCompared(60_000);
  both.rotated(credentialOf("new"), credentialOf("old"));
  both.rotationFailed({ outcome: "invalid_file", error: new Error("no JSON"), isNew: true });
  const expected = [
    "minted",
    "mint_failed",
    "clock_skewed",
    "credential_rotated",
    "credential_rejected",
  ];
  expect(one.lines.map(({ event }) => event)).toEqual(expected);
  expect(other.lines.map(({ event }) => event)).toEqual(expected);
});
