import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readBanner } from "../support/tcp-service.ts";
import { startTunnel, type Tunnel } from "../support/tunnel.ts";

describe("tunnel-client and tunnel-server", () => {
  let tunnel: Tunnel;
  beforeAll(async () => {
    tunnel = await startTunnel();
  });
  afterAll(() => tunnel?.[Symbol.asyncDispose]());

  it("carry a TCP connection to the server behind a private service", async () => {
    expect(await readBanner(tunnel.port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
  });
});
