import { describe, expect, it } from "vitest";
import {
  envoyConfigNames,
  isEnvoyConfigName,
  needsAuthServer,
} from "../../../src/envoy/configs.ts";

describe("isEnvoyConfigName", () => {
  it("accepts the names of configs only", () => {
    expect(isEnvoyConfigName("gateway")).toBe(true);
    expect(isEnvoyConfigName("toString")).toBe(false);
  });
});

describe("needsAuthServer", () => {
  it("is false for the configs that send no token", () => {
    expect(envoyConfigNames.filter((name) => !needsAuthServer(name))).toEqual([
      "tunnel-client-public",
      "tunnel-server",
    ]);
  });
});
