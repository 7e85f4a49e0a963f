import { describe, expect, it } from "vitest";
import { envoyValues, urlOf } from "../../../src/envoy/values.ts";

const tcp = (host: string, port = 8080) => ({ kind: "tcp", host, port }) as const;
const API = tcp("api-abc123-ew.a.run.app", 443);

describe("envoyValues", () => {
  it("has values for the given options only", () => {
    expect(envoyValues({})).toEqual({});
    expect(envoyValues({ listen: tcp("::1", 80), certDir: "/certs" })).toEqual({
      LISTEN_HOST: "::1",
      LISTEN_PORT: 80,
      CERT_DIR: "/certs",
    });
  });

  it.each([
    ["127.0.0.1", "STATIC"],
    ["::1", "STATIC"],
    ["authz.internal", "LOGICAL_DNS"],
  ])("resolves the auth server's host %s as %s", (host, type) => {
    expect(envoyValues({ authz: tcp(host) })).toEqual({
      AUTHZ_CLUSTER_TYPE: type,
      AUTHZ_ADDRESS: { socket_address: { address: host, port_value: 8080 } },
    });
  });

  it("reaches an auth server on a Unix socket", () => {
    expect(envoyValues({ authz: { kind: "unix", path: "/run/authz.sock" } })).toEqual({
      AUTHZ_CLUSTER_TYPE: "STATIC",
      AUTHZ_ADDRESS: { pipe: { path: "/run/authz.sock" } },
    });
  });

  it("reaches an auth server over TLS by its host name", () => {
    const authz = { kind: "https", host: "authz.internal", port: 8443 } as const;
    expect(envoyValues({ authz, authzCertDir: "/certs" })).toEqual({
      AUTHZ_HOST: "authz.internal",
      AUTHZ_CERT_DIR: "/certs",
      AUTHZ_CLUSTER_TYPE: "LOGICAL_DNS",
      AUTHZ_ADDRESS: { socket_address: { address: "authz.internal", port_value: 8443 } },
    });
  });

  it("asks for tokens for the given audience", () => {
    const audience = "123.apps.googleusercontent.com";
    expect(envoyValues({ audience })).toEqual({ AUDIENCE: audience });
  });

  it("connects elsewhere if told so, under the service's own name", () => {
    expect(envoyValues({ service: API, connectTo: tcp("10.0.0.1", 8443) })).toEqual({
      SERVICE_HOST: API.host,
      SERVICE_ADDRESS: "10.0.0.1",
      SERVICE_PORT: 8443,
    });
  });

  it("turns the admin interface off", () => {
    expect(envoyValues({ admin: "none" })).toEqual({ ADMIN: {} });
  });
});

describe("urlOf", () => {
  it("leaves out the default port", () => {
    expect(urlOf(API)).toBe("https://api-abc123-ew.a.run.app");
    expect(urlOf(tcp("a.example", 8443))).toBe("https://a.example:8443");
  });
});
