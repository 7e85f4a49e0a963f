import { once } from "node:events";
import { request } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "../../src/envoy/certificates.ts";
import { PRINCIPAL_HEADER } from "../../src/access/caller-rule.ts";
import { checkOverGrpc } from "../support/grpc-authz.ts";
import { replaceFiles, type Files } from "../support/replace-file.ts";
import {
  accountOf,
  issueClient,
  issueServer,
  startSharedServer,
  uriOf,
  type SharedEnvoy,
  type SharedServer,
} from "../support/shared-server.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";

/** The parts of Envoy's config that the tests change. */
interface EnvoyConfig {
  readonly static_resources: {
    readonly listeners: readonly [{ readonly filter_chains: readonly [FilterChain] }];
  };
}

interface FilterChain {
  transport_socket?: unknown;
  readonly filters: readonly [
    { readonly typed_config: { readonly http_filters: readonly Filter[] } },
  ];
}

interface Filter {
  readonly typed_config: {
    readonly http_service?: {
      readonly authorization_request: { readonly headers_to_add: unknown[] };
    };
  };
}

/** Accepts workloads with a certificate only, and names them to the auth server by its URI. */
function attestWorkloads(config: string, certDir: string): string {
  const parsed = parse(config) as EnvoyConfig;
  const [chain] = parsed.static_resources.listeners[0].filter_chains;
  const file = (name: string) => ({ filename: join(certDir, name) });
  chain.transport_socket = {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": TLS,
      require_client_certificate: true,
      common_tls_context: {
        tls_certificates: [
          { certificate_chain: file("server.crt"), private_key: file("server.key") },
        ],
        validation_context: { trusted_ca: file("ca.crt") },
      },
    },
  };
  for (const { typed_config: filter } of chain.filters[0].typed_config.http_filters) {
    filter.http_service?.authorization_request.headers_to_add.push({
      key: PRINCIPAL_HEADER,
      value: "%DOWNSTREAM_PEER_URI_SAN%",
    });
  }
  return stringify(parsed);
}

describe.each(["http", "grpc"] as const)("an Envoy that attests workloads, by %s", (protocol) => {
  const parts = new AsyncDisposableStack();
  let server: SharedServer;
  let mesh: CertificateAuthority;
  let gateway: SharedEnvoy;
  let untrusted: SharedEnvoy;

  beforeAll(async () => {
    server = parts.use(
      await startSharedServer({
        clients: ["untrusted", "gate*"],
        principals: ["web", "cart"],
        principalsFrom: ["gateway"],
      }),
    );
    mesh = await createCertificateAuthority("CA of the mesh");
    const { path } = parts.use(await makeTemporaryFolder());
    await replaceFiles(path, { "ca.crt": mesh.certificatePem, ...(await issueServer(mesh)) });
    const authz = server.process.address;
    const edit = (config: string) => {
      const attested = attestWorkloads(config, path);
      return protocol === "grpc" ? checkOverGrpc(attested, { authz }) : attested;
    };
    gateway = parts.use(await server.startEnvoy("gateway", { edit }));
    untrusted = parts.use(await server.startEnvoy("untrusted", { edit }));
  });
  afterAll(() => parts.disposeAsync());

  /** Sends a request with a certificate; the account of its token at the service, or the status. */
  async function send(
    { envoy }: SharedEnvoy,
    certificate: Files,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<unknown> {
    const sent = request({
      host: "127.0.0.1",
      port: envoy.port("http"),
      servername: "localhost",
      ca: mesh.certificatePem,
      cert: certificate["client.crt"],
      key: certificate["client.key"],
      agent: false,
      headers,
    }).end();
    const [response] = await once(sent, "response");
    await text(response);
    if (response.statusCode !== 200) return response.statusCode;
    return server.google.cloudRun.requests.at(-1)?.identity?.email;
  }

  it("gets each workload the token of the workload's account", async () => {
    for (const name of ["web", "cart"]) {
      expect(await send(gateway, await issueClient(mesh, name))).toBe(accountOf(name));
    }
  });

  it("gets none for a workload that the policy does not have", async () => {
    expect(await send(gateway, await issueClient(mesh, "other"))).toBe(403);
  });

  it("is not believed without the policy's trust: its own account counts", async () => {
    expect(await send(untrusted, await issueClient(mesh, "web"))).toBe(accountOf("untrusted"));
  });

  it("does not pass on what a workload says of itself", async () => {
    const claim = { [PRINCIPAL_HEADER]: uriOf("cart") };
    expect(await send(gateway, await issueClient(mesh, "web"), claim)).toBe(accountOf("web"));
    expect(await send(gateway, await issueClient(mesh, "other"), claim)).toBe(403);
  });

  it("gets none for a workload whose certificate has no name", async () => {
    const issued = await mesh.issue({ commonName: "bare", dnsNames: [], usage: "client", days: 1 });
    const certificate = { "client.crt": issued.certificatePem, "client.key": issued.privateKeyPem };
    expect(await send(gateway, certificate)).toBe(403);
  });
});
