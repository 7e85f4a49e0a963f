import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createCertificateAuthority } from "../src/certificates.ts";
import { startEnvoyOn } from "../test/support/envoy-process.ts";
import { startServer, type ServerProcess } from "../test/support/server-process.ts";
import { createServiceAccount } from "../test/support/service-account.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";
import { startTokenEndpoint } from "../test/support/token-endpoint.ts";

const HOST = "bench-abc123-ew.a.run.app";

export interface FrontEnd extends AsyncDisposable {
  readonly authServer: ServerProcess;
  /** The flags with which `envoy` sends requests for the service here. */
  readonly flags: readonly string[];
}

/**
 * Starts an auth server, its token endpoint, and an Envoy in the place of Cloud Run's front end,
 * which costs as little as one can: it looks whether there is a token and verifies none. Requests go
 * to the container's port (h2c), or are answered at once where that is left out.
 */
export async function startFrontEnd(containerPort?: number): Promise<FrontEnd> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const endpoint = parts.use(await startTokenEndpoint());
  const account = createServiceAccount({ tokenUri: endpoint.url });
  endpoint.register(account);
  await account.writeTo(join(folder, "key.json"));
  const authServer = parts.use(
    await startServer([`--credentials=${join(folder, "key.json")}`, `--audience=https://${HOST}`]),
  );
  const tls = await writeCertificates(folder);
  const envoy = parts.use(await startEnvoyOn(frontEndConfig(tls, containerPort), "front end"));
  const all = parts.move();
  return {
    authServer,
    flags: [
      `--service-url=https://${HOST}`,
      `--connect-to=127.0.0.1:${envoy.port("tls")}`,
      `--service-ca=${tls.ca}`,
      `--authz=${authServer.address}`,
      "--listen=127.0.0.1:0",
    ],
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

interface TlsFiles {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

async function writeCertificates(folder: string): Promise<TlsFiles> {
  const authority = await createCertificateAuthority("stand-in for Google's CA");
  const request = { commonName: HOST, dnsNames: [HOST], usage: "server", days: 1 } as const;
  const issued = await authority.issue(request);
  const files = {
    ca: join(folder, "ca.crt"),
    certificate: join(folder, "tls.crt"),
    key: join(folder, "tls.key"),
  };
  await writeFile(files.ca, authority.certificatePem);
  await writeFile(files.certificate, issued.certificatePem);
  await writeFile(files.key, issued.privateKeyPem, { mode: 0o600 });
  return files;
}

/** JSON is YAML, too. */
function frontEndConfig(tls: TlsFiles, containerPort: number | undefined): string {
  const type = (name: string, fields: object) => ({
    "@type": `type.googleapis.com/envoy.extensions.${name}`,
    ...fields,
  });
  const withToken = {
    prefix: "/",
    headers: [{ name: "authorization", string_match: { prefix: "Bearer " } }],
  };
  const answer = { direct_response: { status: 200, body: { inline_string: "hello" } } };
  const relay = { route: { cluster: "container", timeout: "0s" } };
  const routes = [
    { match: withToken, ...(containerPort === undefined ? answer : relay) },
    { match: { prefix: "/" }, direct_response: { status: 403 } },
  ];
  const windows = {
    initial_stream_window_size: 1_048_576,
    initial_connection_window_size: 134_217_728,
  };
  const router = type("filters.http.router.v3.Router", {});
  const manager = type("filters.network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: "tls",
    http2_protocol_options: windows,
    stream_idle_timeout: "0s",
    http_filters: [{ name: "router", typed_config: router }],
    route_config: { virtual_hosts: [{ name: "service", domains: ["*"], routes }] },
  });
  const { certificate, key } = tls;
  const pair = { certificate_chain: { filename: certificate }, private_key: { filename: key } };
  const socket = type("transport_sockets.tls.v3.DownstreamTlsContext", {
    common_tls_context: { alpn_protocols: ["h2"], tls_certificates: [pair] },
  });
  const loopback = (port: number) => ({
    socket_address: { address: "127.0.0.1", port_value: port },
  });
  const listener = {
    name: "tls",
    address: loopback(0),
    filter_chains: [
      {
        transport_socket: { name: "tls", typed_config: socket },
        filters: [{ name: "http", typed_config: manager }],
      },
    ],
  };
  const protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  const container = {
    name: "container",
    typed_extension_protocol_options: {
      [protocol]: type("upstreams.http.v3.HttpProtocolOptions", {
        explicit_http_config: { http2_protocol_options: windows },
      }),
    },
    load_assignment: {
      cluster_name: "container",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(containerPort ?? 0) } }] }],
    },
  };
  return JSON.stringify({
    admin: { address: loopback(0) },
    static_resources: {
      listeners: [listener],
      clusters: containerPort === undefined ? [] : [container],
    },
  });
}
