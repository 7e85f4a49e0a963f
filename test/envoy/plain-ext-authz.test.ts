import type { IncomingHttpHeaders } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEnvoyOn } from "../support/envoy-process.ts";
import { API_AUDIENCE, API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { startServer } from "../support/server-process.ts";

/**
 * The shortest possible ext_authz config: without path_prefix, so that a check has the request's
 * own path, and with one exact pattern for the token header.
 */
function plainConfig(authz: string, serviceFlags: readonly string[]): string {
  const [service, ca] = ["--connect-to=", "--service-ca="].map((flag) =>
    serviceFlags.find((each) => each.startsWith(flag))?.slice(flag.length),
  );
  const address = (hostPort = "") => {
    const [host, port] = hostPort.split(":");
    return `{ socket_address: { address: ${host}, port_value: ${port} } }`;
  };
  const endpoint = (name: string, hostPort?: string) =>
    `{ cluster_name: ${name}, endpoints: [{ lb_endpoints: [{ endpoint: { address: ${address(hostPort)} } }] }] }`;
  return `
admin: { address: ${address("127.0.0.1:0")} }
static_resources:
  listeners:
    - name: http
      address: ${address("127.0.0.1:0")}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: http
                http_filters:
                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                      http_service:
                        server_uri: { uri: "${authz}", cluster: authz, timeout: 5s }
                        authorization_response:
                          allowed_upstream_headers: { patterns: [{ exact: authorization }] }
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                route_config:
                  virtual_hosts:
                    - name: service
                      domains: ["*"]
                      routes:
                        - match: { prefix: / }
                          route: { cluster: service, host_rewrite_literal: ${API_HOST} }
  clusters:
    - name: authz
      load_assignment: ${endpoint("authz", authz)}
    - name: service
      load_assignment: ${endpoint("service", service)}
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          sni: ${API_HOST}
          common_tls_context: { validation_context: { trusted_ca: { filename: "${ca}" } } }
`;
}

describe("an Envoy with a minimal ext_authz config", () => {
  const parts = new AsyncDisposableStack();
  let google: Google;
  let url = "";
  let seen: IncomingHttpHeaders = {};

  beforeAll(async () => {
    const container = parts.use(
      await startHttpService({
        request: (request, response) => {
          seen = request.headers;
          response.end(`${request.method} ${request.url}`);
        },
      }),
    );
    const services = [{ host: API_HOST, audiences: [API_AUDIENCE], ...container }];
    google = parts.use(await startGoogle({ services }));
    const flags = [`--credentials=${google.keyFile}`, `--audience=${API_AUDIENCE}`];
    const { address } = parts.use(await startServer(flags));
    const config = plainConfig(address, google.serviceFlags(API_HOST));
    const envoy = parts.use(await startEnvoyOn(config, "plain"));
    url = `http://127.0.0.1:${envoy.port("http")}`;
  });
  afterAll(() => parts.disposeAsync());

  it.each([
    ["GET", "/"],
    ["GET", "/%zz?a=b"],
    ["POST", "/check"],
    ["POST", "/metrics"],
    ["PROPFIND", "/livez/x"],
  ])("gets a token for %s %s", async (method, path) => {
    const response = await fetch(url + path, { method, headers: { authorization: "Basic b3du" } });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(`${method} ${path}`);
    expect(seen.authorization).toMatch(/^Bearer /);
    expect(google.cloudRun.requests.at(-1)?.identity?.audience).toBe(API_AUDIENCE);
  });
});
