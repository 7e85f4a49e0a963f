import { describe, expect, it } from "vitest";
import { duration, oneOf, parseFraction, wholeNumber } from "../../../src/settings/values.ts";

describe("oneOf", () => {
  it("accepts its words in any case, and lists them otherwise", () => {
    const parse = oneOf(["info", "warn"]);
    expect(parse("WARN")).toBe("warn");
    expect(() => parse("loud")).toThrow("must be one of info, warn");
  });
});

describe("parseFraction", () => {
  it.each([
    ["0.1", 0.1],
    [".9", 0.9],
  ])("accepts %s", (text, fraction) => {
    expect(parseFraction(text)).toBe(fraction);
  });

  it.each(["0.09", "0.91", "1", "half", "1e-1"])("refuses %s", (text) => {
    expect(() => parseFraction(text)).toThrow("must be a fraction from 0.1 to 0.9");
  });
});

describe("wholeNumber", () => {
  it("accepts its bounds and nothing outside them", () => {
    const parse = wholeNumber(2, 30);
    expect([parse("2"), parse("30")]).toEqual([2, 30]);
    for (const wrong of ["1", "31", "2.5", "1e1", ""]) {
      expect(() => parse(wrong)).toThrow("must be a whole number from 2 to 30");
    }
  });
});

describe("duration", () => {
  it.each([
    ["100ms", 100],
    ["1.5s", 1500],
    ["1m", 60_000],
  ])("reads %s in milliseconds", (text, ms) => {
    expect(duration(100, 60_000)(text)).toBe(ms);
  });

  it.each(["99ms", "61s", "5", "5 s", "soon"])("refuses %s", (text) => {
    expect(() => duration(100, 60_000)(text)).toThrow(
      "must be a time such as 500ms, 5s or 1m, from 100 to 60000 ms",
    );
  });
});
