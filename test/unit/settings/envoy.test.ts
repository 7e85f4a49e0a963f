import { describe, expect, it } from "vitest";
import { parseEnvoyFlags as parse } from "../../../src/settings/envoy.ts";
import { UsageError } from "../../../src/system/errors.ts";

const SERVICE = ["--service-url", "https://svc-abc123-ew.a.run.app"];

/** Reads flags without an environment. */
const parseEnvoyFlags = (argv: readonly string[]) => parse(argv, {});

describe("parseEnvoyFlags", () => {
  it("gives every option its default", () => {
    const { name, options } = parseEnvoyFlags(["tunnel-client", ...SERVICE, "--service-ca", "/ca"]);
    expect(name).toBe("tunnel-client");
    expect(options).toMatchObject({
      service: { kind: "tcp", host: "svc-abc123-ew.a.run.app", port: 443 },
      listen: { kind: "tcp", host: "127.0.0.1", port: 7777 },
      authz: { kind: "tcp", host: "127.0.0.1", port: 8080 },
      admin: "none",
      serviceCa: "/ca",
    });
  });

  it("gives a gateway its own default port", () => {
    const listen = (...flags: readonly string[]) =>
      parseEnvoyFlags(["gateway", ...SERVICE, ...flags]).options.listen;
    expect(listen()).toEqual({ kind: "tcp", host: "127.0.0.1", port: 9090 });
    expect(listen("--listen=[::1]:80")).toEqual({ kind: "tcp", host: "::1", port: 80 });
  });

  it.each([
    ["the service's URL", [], "https://svc-abc123-ew.a.run.app"],
    ["the service's URL with its port", ["--service-url=https://a.b:8443"], "https://a.b:8443"],
    [
      "the service's URL without a traffic tag",
      ["--service-url=https://canary---svc-abc123-ew.a.run.app"],
      "https://svc-abc123-ew.a.run.app",
    ],
    [
      "what is given",
      ["--audience=123.apps.googleusercontent.com"],
      "123.apps.googleusercontent.com",
    ],
  ])("takes as audience %s", (_what, flags, audience) => {
    expect(parseEnvoyFlags(["gateway", ...SERVICE, ...flags]).options).toMatchObject({ audience });
  });

  it.each([
    ["nothing", [], []],
    ["none", ["--allow-origin=none"], []],
    [
      "several",
      [
        "--allow-origin=https://App.Example.com:443/,http://localhost:3000",
        "--allow-origin=https://b.c",
      ],
      ["https://app.example.com", "http://localhost:3000", "https://b.c"],
    ],
    ["an IPv6 address", ["--allow-origin=http://[::1]:3000"], ["http://[::1]:3000"]],
  ])("reads allowed origins as browsers send them: %s", (_what, flags, allowOrigins) => {
    expect(parseEnvoyFlags(["gateway", ...SERVICE, ...flags]).options).toMatchObject({
      allowOrigins,
    });
  });

  it("reads ALLOW_ORIGIN and TOKEN_HEADER if the config uses them", () => {
    const env = { ALLOW_ORIGIN: "https://a.b", TOKEN_HEADER: "proxy-authorization" };
    expect(parse(["gateway-push", ...SERVICE], env).options).toMatchObject({
      allowOrigins: ["https://a.b"],
      tokenHeader: "proxy-authorization",
    });
    expect(parse(["tunnel-server"], env).options).toMatchObject({
      allowOrigins: undefined,
      tokenHeader: undefined,
    });
  });

  it("reads an auth server over TLS", () => {
    const flags = ["--authz=https://authz.internal:8443", "--authz-cert-dir=/certs"];
    expect(parseEnvoyFlags(["gateway", ...SERVICE, ...flags]).options).toMatchObject({
      authz: { kind: "https", host: "authz.internal", port: 8443 },
      authzCertDir: "/certs",
    });
  });

  it("takes from 1 to 100 streams per tunnel", () => {
    const streams = (text: string) =>
      parseEnvoyFlags(["tunnel-client", ...SERVICE, `--streams-per-tunnel=${text}`]).options
        .streamsPerTunnel;
    expect([streams("1"), streams("100")]).toEqual([1, 100]);
    for (const wrong of ["0", "101", "1.5", "four", ""]) {
      expect(() => streams(wrong)).toThrow("must be a whole number from 1 to 100");
    }
  });

  it("says whether to follow the certificates only if told", () => {
    const follows = (...flags: readonly string[]) =>
      parseEnvoyFlags(["tunnel-server", ...flags]).options.reloadCerts;
    expect([follows(), follows("--reload-certs"), follows("--reload-certs=off")]).toEqual([
      undefined,
      true,
      false,
    ]);
  });

  it("leaves options undefined that the config does not use", () => {
    expect(parseEnvoyFlags(["tunnel-server"]).options).toMatchObject({
      service: undefined,
      listen: undefined,
      serviceCa: undefined,
    });
  });

  it("accepts the name before or after the flags", () => {
    expect(parseEnvoyFlags(["--port", "9000", "tunnel-server"]).name).toBe("tunnel-server");
  });

  it("reads a service's URL in any case, with or without a slash", () => {
    const { options } = parseEnvoyFlags(["gateway", "--service-url=https://API.Example.COM/"]);
    expect(options.service).toEqual({ kind: "tcp", host: "api.example.com", port: 443 });
  });

  it.each([
    ["no name", [], "NAME (one of tunnel-client"],
    ["an unknown name", ["tunnel"], 'NAME "tunnel": must be one of'],
    ["no service", ["tunnel-client"], "--service-url: must be given"],
    ["a flag of other configs", ["tunnel-server", ...SERVICE], "tunnel-server does not use this"],
    [
      "a service with a path",
      ["tunnel-client", "--service-url", "https://a.b/c"],
      "must be https://",
    ],
    [
      "a service by address",
      ["tunnel-client", "--service-url", "https://1.2.3.4"],
      "must name a host",
    ],
    ["a listener by name", ["tunnel-client", ...SERVICE, "--listen", "a.b:1"], "an IP address"],
    ["an empty path", ["tunnel-server", "--cert-dir", ""], "must be a path"],
    ["a port of 0 to connect to", ["tunnel-server", "--target", "a.b:0"], "must be a port"],
    ["a hostname with an underscore", ["tunnel-server", "--target", "a_b:1"], "must be HOST:PORT"],
    ["an empty audience", ["gateway", ...SERVICE, "--audience", ""], "--audience"],
    [
      "a pattern as audience",
      ["gateway", ...SERVICE, "--audience=https://*.run.app"],
      "--audience",
    ],
    ["a release without configs", ["tunnel-server", "--envoy-version=1.35"], "1.36 to 1.40"],
    ["any origin", ["gateway", ...SERVICE, "--allow-origin=*"], "must be a web origin"],
    [
      "an origin with a path",
      ["gateway", ...SERVICE, "--allow-origin=https://a.b/c"],
      "a web origin",
    ],
    ["the opaque origin", ["gateway", ...SERVICE, "--allow-origin=null"], "must be a web origin"],
    ["another header", ["gateway-push", ...SERVICE, "--token-header=cookie"], "--token-header"],
    [
      "an address over TLS",
      ["gateway", ...SERVICE, "--authz=https://10.0.0.1"],
      "must name a host",
    ],
    ["an audience of two lines", ["gateway", ...SERVICE, "--audience=a\nb"], "--audience"],
  ])("refuses %s", (_what, argv, rule) => {
    expect(() => parseEnvoyFlags(argv)).toThrow(UsageError);
    expect(() => parseEnvoyFlags(argv)).toThrow(rule);
  });
});
