import { describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../src/settings/relay.ts";

describe("parseRelayConfig", () => {
  it("listens on loopback and connects to the tunnel server's default target", () => {
    expect(parseRelayConfig([], {})).toMatchObject({
      listen: { kind: "tcp", host: "127.0.0.1", port: 7778 },
      target: { kind: "tcp", host: "127.0.0.1", port: 7777 },
      drainTimeoutMs: 10_000,
    });
  });

  it("reads the environment", () => {
    const { listen, target } = parseRelayConfig([], {
      RELAY_LISTEN: "[::1]:1",
      TARGET: "db.internal:5432",
    });
    expect([listen.host, target.host]).toEqual(["::1", "db.internal"]);
  });

  it.each([
    ["--listen=0.0.0.0:7778", "must be a loopback address"],
    ["--target=db.internal", "must be HOST:PORT"],
    ["--target=db.internal:0", "must be a port, 1 to 65535"],
  ])("refuses %s with the rule", (flag, rule) => {
    expect(() => parseRelayConfig([flag], {})).toThrow(rule);
  });
});
