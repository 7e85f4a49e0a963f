import { describe, expect, it } from "vitest";
import {
  parseAuthServer,
  parseListen,
  parseOrigin,
  parseRemote,
  parseServiceUrl,
} from "../../../src/settings/envoy-addresses.ts";

const tcp = (host: string, port: number) => ({ kind: "tcp", host, port });

describe("the URL of a service", () => {
  it("may have a port and a slash, in any case", () => {
    expect(parseServiceUrl("https://API.Example.COM/")).toEqual(tcp("api.example.com", 443));
    expect(parseServiceUrl("https://a.b:8443")).toEqual(tcp("a.b", 8443));
  });

  it.each(["http://a.b", "https://a.b/c", "a.b"])("is not %s", (text) => {
    expect(() => parseServiceUrl(text)).toThrow("must be https://HOST");
  });

  it("has no IP address, which no certificate of a service is for", () => {
    const parsing = () => parseServiceUrl("https://1.2.3.4:8443");
    expect(parsing).toThrow("must name a host, not an IP address");
  });
});

describe("the address of an auth server", () => {
  it("is TCP, a Unix socket or TLS", () => {
    expect(parseAuthServer("127.0.0.1:8080")).toEqual(tcp("127.0.0.1", 8080));
    expect(parseAuthServer("unix:/run/a.sock")).toEqual({ kind: "unix", path: "/run/a.sock" });
    expect(parseAuthServer("https://authz.internal:8443")).toEqual({
      ...tcp("authz.internal", 8443),
      kind: "https",
    });
  });
});

describe("an address to listen on", () => {
  it("is an IP address, or localhost, which Envoy does not resolve", () => {
    expect(parseListen("LOCALHOST:0")).toEqual(tcp("127.0.0.1", 0));
    expect(() => parseListen("a.b:1")).toThrow("must have an IP address for a host");
  });
});

describe("an address to connect to", () => {
  it("has a name or an IP address, and a port", () => {
    expect(parseRemote("a.b:1")).toEqual(tcp("a.b", 1));
    expect(() => parseRemote("a.b:0")).toThrow("must be a port, 1 to 65535");
  });
});

describe("a web origin", () => {
  it("is as browsers send it", () => {
    expect(parseOrigin("https://App.Example.com:443/")).toEqual(["https://app.example.com"]);
    expect(parseOrigin("none")).toEqual([]);
  });

  it.each(["*", "null", "https://a.b/c", "ftp://a.b"])("is not %s", (text) => {
    expect(() => parseOrigin(text)).toThrow("must be a web origin");
  });
});
