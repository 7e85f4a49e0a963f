import { describe, expect, it } from "vitest";
import { createSet, ownersOf } from "../../../src/envoy/certificate-set.ts";

describe("ownersOf", () => {
  it("names the tunnel's ends, or an auth server by its hosts and its client", () => {
    const authz = ownersOf(["authz.internal", "localhost"]);
    expect(ownersOf([]).server).toEqual({
      commonName: "tunnel-server",
      dnsNames: ["tunnel-server"],
    });
    expect(ownersOf([]).client.dnsNames).toEqual(["tunnel-client"]);
    expect(authz.server.dnsNames).toEqual(["authz.internal", "localhost"]);
    expect(authz.client.dnsNames).toEqual(["authz-client"]);
  });
});

describe("createSet", () => {
  it("has the CA's key only on request, and each key for its owner's eyes alone", async () => {
    const files = await createSet(ownersOf([]), false);
    const names = ["ca.crt", "client.crt", "client.key", "server.crt", "server.key"];
    expect(files.map(({ name }) => name)).toEqual(names);
    const kept = await createSet(ownersOf([]), true);
    expect(kept.map(({ name }) => name)).toContain("ca.key");
    for (const { name, mode } of kept) expect(mode).toBe(name.endsWith(".key") ? 0o600 : 0o644);
  });
});
