import { describe, expect, it } from "vitest";
import { createMatcher, parseCallerPattern, parsePrintable } from "../../../src/access/pattern.ts";

describe("parsePrintable", () => {
  it.each(["a", "two words", "~", "it's"])("accepts %j", (text) => {
    expect(parsePrintable(text)).toBe(text);
  });

  it.each(["", " a", "a ", "é", "a\nb", "a".repeat(2049)])("refuses %j", (text) => {
    expect(() => parsePrintable(text)).toThrow(/printable ASCII/);
  });

  it("refuses quotes around the text", () => {
    expect(() => parsePrintable('"a"')).toThrow(/without quotes/);
  });
});

describe("parseCallerPattern", () => {
  it.each([
    "spiffe://cluster.local/ns/shop/sa/web",
    "spiffe://cluster.local/ns/shop/sa/*",
    "spiffe://cluster.local/ns/*/sa/web",
    "web.shop.example.com",
    "*.shop.example.com",
  ])("accepts %s", (text) => {
    expect(parseCallerPattern(text)).toBe(text);
  });

  it.each(["*", "spiffe://*", "spiffe://*/ns/shop", "*.com"])(
    "refuses %s, which matches too much",
    (text) => {
      expect(() => parseCallerPattern(text)).toThrow(/matches too much: .*spiffe/);
    },
  );
});

describe("createMatcher", () => {
  const matches = createMatcher(["spiffe://cluster.local/ns/*/sa/web", "exact.example.com"]);

  it.each(["spiffe://cluster.local/ns/shop/sa/web", "exact.example.com"])("matches %s", (text) => {
    expect(matches(text)).toBe(true);
  });

  it.each([
    "",
    "EXACT.example.com",
    "exact.example.com.evil.com",
    "xexact.example.com",
    "exactxexample.com",
    "spiffe://cluster.local/ns//sa/web",
    "spiffe://cluster.local/ns/shop/sa/x/sa/web",
    "spiffe://cluster.local/ns/shop/sa/web/more",
    "spiffe://cluster.local/ns/shop\n/sa/web",
    "spiffe://cluster.local/ns/*/sa/web\n",
  ])("does not match %j", (text) => {
    expect(matches(text)).toBe(false);
  });
});
