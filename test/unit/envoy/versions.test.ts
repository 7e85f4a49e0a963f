import { describe, expect, it } from "vitest";
import {
  configVersion,
  hasFeature,
  isVersionFeature,
  lossWithout,
  newestEnvoyVersion,
  parseEnvoyVersion,
} from "../../../src/envoy/versions.ts";

describe("parseEnvoyVersion", () => {
  it.each([
    ["1.36", "1.36"],
    ["1.38.3", "1.38"],
    ["1.40.0", "1.40"],
  ])("reads %s as release %s", (text, version) => {
    expect(parseEnvoyVersion(text)).toBe(version);
  });

  it.each(["1.35.9", "1.41", "2.38", "1", "v1.38", "1.38.x", ""])("refuses %j", (text) => {
    expect(() => parseEnvoyVersion(text)).toThrow("from 1.36 to 1.40");
  });
});

describe("hasFeature", () => {
  it("compares releases as numbers", () => {
    expect(hasFeature("1.38", "stream-reset-limits")).toBe(false);
    expect(hasFeature("1.39", "stream-reset-limits")).toBe(true);
    expect(hasFeature("1.100", "stream-reset-limits")).toBe(true);
  });

  it("finds everything in the newest release", () => {
    expect(hasFeature(newestEnvoyVersion, "user-space-socket-rst")).toBe(true);
  });
});

describe("lossWithout", () => {
  it("names the fields and the consequence", () => {
    expect(lossWithout("listener-keepalive")).toMatch(/^tcp_keepalive on listeners: /);
  });

  it("is undefined if an older release behaves the same", () => {
    expect(lossWithout("user-space-socket-rst")).toBeUndefined();
  });
});

describe("isVersionFeature", () => {
  it("tells these features from others", () => {
    expect(isVersionFeature("listener-keepalive")).toBe(true);
    expect(isVersionFeature("push")).toBe(false);
  });
});

it.each([
  ["1.36.4", "1.36"],
  ["1.40.0", "1.40"],
  ["1.41.2", "1.40"],
  ["2.0.0", "1.40"],
])("writes configs for Envoy %s as for %s", (release, version) => {
  expect(configVersion(release)).toBe(version);
});
