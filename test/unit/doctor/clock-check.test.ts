import { describe, expect, it } from "vitest";
import { clockSkewSeconds, judgeSkew } from "../../../src/doctor/clock-check.ts";

const NOW = Date.UTC(2026, 0, 1);

describe("clockSkewSeconds", () => {
  it.each([
    ["dated in the same second", NOW - 900, NOW, NOW, 0],
    ["slow, but right", NOW + 2000, NOW, NOW + 4000, 0],
    ["a minute behind", NOW + 60_000, NOW, NOW, -60],
    ["a minute ahead", NOW - 60_500, NOW, NOW, 60],
  ])("of an answer that is %s", (_what, dateMs, sentAtMs, receivedAtMs, skew) => {
    expect(clockSkewSeconds(dateMs, sentAtMs, receivedAtMs)).toBe(skew);
  });
});

describe("judgeSkew", () => {
  it("passes a small skew, warns about a larger one and fails beyond five minutes", () => {
    expect(judgeSkew(0, "google")).toMatchObject({ message: "within 1 s of google's" });
    expect(judgeSkew(-10, "google")).not.toHaveProperty("remedy");
    expect(judgeSkew(11, "google")).toMatchObject({
      message: "this machine's clock is 11 s ahead of google's",
      remedy: expect.stringContaining("timedatectl set-ntp true"),
    });
    expect(judgeSkew(-300, "google").remedy).toBeDefined();
    expect(() => judgeSkew(-301, "google")).toThrow(
      "this machine's clock is 301 s behind google's, which may refuse assertions dated so far off",
    );
  });
});
