import { describe, expect, it } from "vitest";
import {
  canonicalAudience,
  createAudienceRule,
  parseAudience,
  parseAudiencePattern,
} from "../../../src/access/audience.ts";

const none = { named: undefined, host: undefined };
const notAllowed = { refused: "audience_not_allowed" };

describe("canonicalAudience", () => {
  it.each([
    ["https://svc.run.app/", "https://svc.run.app"],
    ["HTTPS://SVC.Run.App", "https://svc.run.app"],
    ["https://svc.run.app:443", "https://svc.run.app"],
    ["https://svc.run.app:443/", "https://svc.run.app"],
    ["https://svc.run.app:/", "https://svc.run.app"],
    ["http://svc.internal:80/", "http://svc.internal"],
    ["https://[2001:DB8::1]:443/", "https://[2001:db8::1]"],
  ])("turns %s into %s", (audience, canonical) => {
    expect(canonicalAudience(audience)).toBe(canonical);
  });

  it.each([
    ["https://canary---svc-abc123-ew.a.run.app", "https://svc-abc123-ew.a.run.app"],
    ["https://My-Tag---svc-123.europe-west1.run.app/", "https://svc-123.europe-west1.run.app"],
    ["https://canary---svc-abc123-ew.a.run.app/api", "https://svc-abc123-ew.a.run.app/api"],
  ])("drops the traffic tag of %s, as Cloud Run wants the service's own URL", (audience, own) => {
    expect(canonicalAudience(audience)).toBe(own);
  });

  it.each([
    "https://svc.run.app",
    "https://svc.run.app:8443",
    "http://svc.run.app:443",
    "https://api.example.com/Orders/",
    "https://api.example.com/?",
    "https://api.example.com/#",
    "https://canary---svc.example.com",
    "https://a---9.run.app",
    "32555940559.apps.googleusercontent.com",
    "/projects/123/global/backendServices/456",
    "My-API/",
    "spiffe://Cluster.local/",
    "https://User@host/",
    "https://",
  ])("leaves %s as it is", (audience) => {
    expect(canonicalAudience(audience)).toBe(audience);
  });
});

describe("the audience rule", () => {
  const rule = createAudienceRule({
    configured: ["https://a.run.app", "123.apps.googleusercontent.com"],
    allowed: ["https://*.example.run.app", "exact custom audience", "https://other.run.app"],
    fromHost: false,
  });

  it("chooses the default if the check names no audience", () => {
    expect(rule(none)).toEqual({ audience: "https://a.run.app" });
    expect(rule({ named: undefined, host: "evil.example.com" })).toEqual({
      audience: "https://a.run.app",
    });
  });

  it.each([
    "https://a.run.app",
    "123.apps.googleusercontent.com",
    "https://svc.example.run.app",
    "https://svc.europe-west1.example.run.app",
    "exact custom audience",
    "https://other.run.app",
  ])("chooses %s if the check names it, since it is allowed", (named) => {
    expect(rule({ ...none, named })).toEqual({ audience: named });
  });

  it.each([
    ["https://A.run.app", "https://a.run.app"],
    ["https://a.run.app/", "https://a.run.app"],
    ["https://a.run.app:443", "https://a.run.app"],
    ["https://SVC.example.run.app:443/", "https://svc.example.run.app"],
    ["https://canary---a.run.app", "https://a.run.app"],
  ])("chooses the canonical form of %s", (named, audience) => {
    expect(rule({ ...none, named })).toEqual({ audience });
  });

  it.each([
    "",
    " ",
    "https://b.run.app",
    "https://a.run.app, https://a.run.app",
    "https://a.run.app/x",
    "http://a.run.app",
    "https://.example.run.app",
    "https://evil.com/.example.run.app",
    "https://evil.com?.example.run.app",
    "https://evil.com#x.example.run.app",
    "https://user@x.example.run.app",
    "https://svc.example.run.app.evil.com",
    "https://evil.com---svc.example.run.app.evil.com",
    "http://svc.example.run.app",
    "https://svc\n.example.run.app",
    "https://svc\u0000.example.run.app",
    "EXACT custom audience",
    `https://${"a".repeat(8192)}.example.run.app`,
  ])("refuses %j", (named) => {
    expect(rule({ ...none, named })).toEqual(notAllowed);
  });
});

describe("the audience from the Host", () => {
  const rule = createAudienceRule({
    configured: [],
    allowed: ["https://*.run.app"],
    fromHost: true,
  });

  it.each([
    ["svc.run.app", "https://svc.run.app"],
    ["svc.run.app:443", "https://svc.run.app"],
    ["SVC.Run.App", "https://svc.run.app"],
    ["canary---svc-abc123-ew.a.run.app:443", "https://svc-abc123-ew.a.run.app"],
  ])("for %s is %s", (host, audience) => {
    expect(rule({ named: undefined, host })).toEqual({ audience });
  });

  it.each([
    "a:b:c",
    "[::1]",
    "[::1]:8080",
    "127.0.0.1",
    "svc.run.app.",
    "svc..run.app",
    "-svc.run.app",
    "svc.run.app:99999999",
    "svc.run.app/x",
    "x@svc.run.app",
    "localhost",
    "svc.evil.com",
    "a".repeat(300) + ".run.app",
  ])("is refused for %s", (host) => {
    expect(rule({ named: undefined, host })).toEqual(notAllowed);
  });

  it("is missing without a Host", () => {
    expect(rule(none)).toEqual({ refused: "audience_missing" });
    expect(rule({ named: undefined, host: "" })).toEqual({ refused: "audience_missing" });
  });

  it("is not used unless it is switched on", () => {
    const off = createAudienceRule({
      configured: [],
      allowed: ["https://*.run.app"],
      fromHost: false,
    });
    expect(off({ named: undefined, host: "svc.run.app" })).toEqual({ refused: "audience_missing" });
  });

  it("is not used if there is a default", () => {
    const both = createAudienceRule({
      configured: ["https://a.run.app"],
      allowed: ["https://*.run.app"],
      fromHost: true,
    });
    expect(both({ named: undefined, host: "svc.run.app" })).toEqual({
      audience: "https://a.run.app",
    });
  });
});

describe("parseAudience", () => {
  it("returns the canonical form", () => {
    expect(parseAudience("https://SVC.run.app:443/")).toBe("https://svc.run.app");
    expect(parseAudience("My custom audience/")).toBe("My custom audience/");
  });

  it.each(["", " x", "x ", "é", "a\tb", "a\nb", "https://*.run.app", "a".repeat(2049)])(
    "refuses %j",
    (text) => {
      expect(() => parseAudience(text)).toThrow(/must be/);
    },
  );

  it.each(['"https://svc.run.app"', "'https://svc.run.app'", '"a', "a'", '"', "`a`"])(
    "refuses the quotes around %s and names them",
    (text) => {
      expect(() => parseAudience(text)).toThrow(/quotes/);
      expect(() => parseAudiencePattern(text)).toThrow(/quotes/);
    },
  );

  it("accepts quotes inside an audience", () => {
    expect(parseAudience("team's audience")).toBe("team's audience");
  });
});

describe("parseAudiencePattern", () => {
  it.each([
    "*",
    "https://*",
    "https://*/",
    "*.com",
    "https://*.app",
    "https://a*",
    "ab*",
    "**",
    "https://*.run.*",
  ])("refuses %s, which matches too much", (text) => {
    expect(() => parseAudiencePattern(text)).toThrow(/matches too much/);
  });

  it.each([
    "https://*.run.app",
    "https://svc-*.a.run.app",
    "https://svc.run.app/*",
    "*.apps.googleusercontent.com",
    "team-*",
    "https://exact.run.app",
  ])("accepts %s", (text) => {
    expect(parseAudiencePattern(text)).toBe(text);
  });

  it.each([
    ["https://*.Run.App:443/", "https://*.run.app"],
    ["HTTPS://Exact.run.app/", "https://exact.run.app"],
    ["https://canary---exact.run.app", "https://exact.run.app"],
  ])("returns the canonical form of %s", (text, canonical) => {
    expect(parseAudiencePattern(text)).toBe(canonical);
  });

  it.each(["https://canary---*.run.app", "https://*---svc.a.run.app"])(
    "refuses %s, since no audience has a traffic tag",
    (text) => {
      expect(() => parseAudiencePattern(text)).toThrow(/traffic tag/);
    },
  );
});
