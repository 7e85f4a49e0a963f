import { describe, expect, it } from "vitest";
import { envoySettings } from "../../../src/settings/envoy-table.ts";

describe("envoySettings", () => {
  it("reads each path as an absolute one", () => {
    for (const key of [
      "authzCertDir",
      "certDir",
      "serviceCa",
      "sessionTicketKey",
      "output",
    ] as const) {
      expect(envoySettings[key].read(["a/b"])).toBe(`${process.cwd()}/a/b`);
    }
  });

  it("reads origins from several flags and from lists", () => {
    const texts = ["https://a.b, https://c.d", "https://e.f"];
    expect(envoySettings.allowOrigins.read(texts)).toEqual([
      "https://a.b",
      "https://c.d",
      "https://e.f",
    ]);
  });

  it("tells a switch that is off from one that is not given", () => {
    const { reloadCerts } = envoySettings;
    expect([reloadCerts.read([]), reloadCerts.read(["off"])]).toEqual([undefined, false]);
  });
});
