import { describe, expect, it } from "vitest";
import { featuresFor, isFeature } from "../../../src/envoy/features.ts";

describe("isFeature", () => {
  it("accepts the names of features only", () => {
    expect(isFeature("checks")).toBe(true);
    expect(isFeature("toString")).toBe(false);
  });
});

describe("featuresFor", () => {
  it("adds to a config's features one for each choice that an option makes", () => {
    expect(featuresFor(["checks"], {})).toEqual(
      new Set(["checks", "no-relay", "fixed-certs", "fixed-authz-certs", "unshared"]),
    );
  });

  it("has Envoy identify itself if it fetches secrets", () => {
    expect(featuresFor([], {})).not.toContain("node");
    expect(featuresFor(["push"], {})).toContain("node");
    expect(featuresFor([], { secretsDir: "/secrets" })).toContain("node");
    expect(featuresFor([], { followsAuthzCerts: true })).toContain("node");
  });

  it("replaces the direct POST where connections share a tunnel", () => {
    const features = featuresFor(["direct-post"], { streamsPerTunnel: 2 });
    expect(features).not.toContain("direct-post");
    expect(features).toContain("http-hop");
    expect(features).toContain("multi-stream");
  });

  it("refuses private addresses of any service unless they are allowed or one address is given", () => {
    const own = ["any-service"] as const;
    expect(featuresFor(own, {})).toContain("public-only");
    expect(featuresFor(own, { allowPrivateAddresses: true })).not.toContain("public-only");
    const connectTo = { kind: "tcp", host: "127.0.0.1", port: 443 } as const;
    expect(featuresFor(own, { connectTo })).toContain("fixed-address");
  });
});
