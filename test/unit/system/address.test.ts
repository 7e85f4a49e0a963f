import { describe, expect, it } from "vitest";
import { formatAddress, isLoopback, parseAddress, parsePort } from "../../../src/system/address.ts";

describe("parseAddress", () => {
  it.each([
    ["127.0.0.1:8080", { kind: "tcp", host: "127.0.0.1", port: 8080 }],
    ["localhost:0", { kind: "tcp", host: "localhost", port: 0 }],
    ["[::1]:65535", { kind: "tcp", host: "::1", port: 65_535 }],
    ["svc.internal:443", { kind: "tcp", host: "svc.internal", port: 443 }],
    ["unix:/run/authz.sock", { kind: "unix", path: "/run/authz.sock" }],
  ])("parses %s, and formatAddress restores it", (text, address) => {
    expect(parseAddress(text)).toEqual(address);
    expect(formatAddress(parseAddress(text))).toBe(text);
  });

  it.each([
    "",
    "8080",
    ":8080",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:80x",
    "256.0.0.1:80",
    "::1:8080",
    "[127.0.0.1]:80",
    "a_b:80",
    "-a:80",
    "a..b:80",
    "host name:80",
    "http://localhost:80",
    "unix:run.sock",
    `unix:/${"a".repeat(107)}`,
  ])("refuses %j", (text) => {
    expect(() => parseAddress(text)).toThrow(/must|only/);
  });
});

describe("parsePort", () => {
  it("refuses ports below the minimum", () => {
    expect(parsePort("0", 0)).toBe(0);
    expect(() => parsePort("0")).toThrow("must be a port, 1 to 65535");
  });
});

describe("isLoopback", () => {
  it.each(["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST"])(
    "is true for %s",
    (host) => {
      expect(isLoopback(host)).toBe(true);
    },
  );

  it.each(["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.evil.com", "localhost.evil.com"])(
    "is false for %s",
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});
