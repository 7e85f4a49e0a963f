import { describe, expect, it } from "vitest";
import {
  createAudienceRule,
  parseAudience,
  parseAudiencePattern,
} from "../../../src/access/audience.ts";

const none = { named: undefined, host: undefined };
const notAllowed = { refused: "audience_not_allowed" };

describe("the audience rule", () => {
  const rule = createAudienceRule({
    configured: ["https://a.run.app", "123.apps.googleusercontent.com"],
    allowed: ["https://*.example.run.app", "exact custom audience"],
    fromHost: false,
  });

  it("takes the default where none is named", () => {
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
  ])("gives the named and allowed %s", (named) => {
    expect(rule({ ...none, named })).toEqual({ audience: named });
  });

  it.each([
    "",
    " ",
    "https://b.run.app",
    "https://A.run.app",
    "https://a.run.app/",
    "https://a.run.app, https://a.run.app",
    "https://.example.run.app",
    "https://evil.com/.example.run.app",
    "https://evil.com?.example.run.app",
    "https://evil.com#x.example.run.app",
    "https://user@x.example.run.app",
    "https://svc.example.run.app.evil.com",
    "http://svc.example.run.app",
    "https://svc\n.example.run.app",
    "https://svc\u0000.example.run.app",
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
  ])("%s is for %s", (host, audience) => {
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
  ])("refuses the Host %s", (host) => {
    expect(rule({ named: undefined, host })).toEqual(notAllowed);
  });

  it("says so when there is no Host", () => {
    expect(rule(none)).toEqual({ refused: "audience_missing" });
    expect(rule({ named: undefined, host: "" })).toEqual({ refused: "audience_missing" });
  });

  it("is off unless asked for", () => {
    const off = createAudienceRule({
      configured: [],
      allowed: ["https://*.run.app"],
      fromHost: false,
    });
    expect(off({ named: undefined, host: "svc.run.app" })).toEqual({ refused: "audience_missing" });
  });

  it("comes after the default", () => {
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

describe("configured audiences and patterns", () => {
  it.each(["", " x", "x ", "é", "a\tb", "a\nb", "https://*.run.app", "a".repeat(2049)])(
    "refuse the audience %j",
    (text) => {
      expect(() => parseAudience(text)).toThrow(/must be/);
    },
  );

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
  ])("refuse the pattern %s, which matches too much", (text) => {
    expect(() => parseAudiencePattern(text)).toThrow(/matches too much/);
  });

  it.each([
    "https://*.run.app",
    "https://svc-*.a.run.app",
    "https://svc.run.app/*",
    "*.apps.googleusercontent.com",
    "team-*",
    "https://exact.run.app",
  ])("accept the pattern %s", (text) => {
    expect(parseAudiencePattern(text)).toBe(text);
  });
});
