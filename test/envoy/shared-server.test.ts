import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import {
  createCertificateAuthority,
  type CertificateRequest,
} from "../../src/envoy/certificates.ts";
import { API_AUDIENCE, startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const ENVOY = "spiffe://cluster.local/ns/gateways/sa/envoy";
const TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** The parts of an Envoy config that the tests change. */
interface Named {
  readonly name: string;
  readonly typed_config: Record<string, unknown>;
  transport_socket?: unknown;
  typed_extension_protocol_options?: unknown;
}
interface EnvoyConfig {
  readonly static_resources: {
    readonly clusters: readonly Named[];
    readonly listeners: readonly {
      readonly filter_chains: readonly {
        readonly filters: readonly { readonly typed_config: { http_filters: readonly Named[] } }[];
      }[];
    }[];
  };
}

function find(all: readonly Named[], name: string): Named {
  const found = all.find((each) => each.name === name);
  if (found === undefined) throw new Error(`the config has no ${name}`);
  return found;
}

/** Reaches the auth server over TLS with a client certificate, for checks over HTTP or gRPC. */
function overTls(config: string, folder: string, protocol: "http" | "grpc"): string {
  const parsed = parse(config) as EnvoyConfig;
  const authz = find(parsed.static_resources.clusters, "authz");
  const file = (name: string) => ({ filename: join(folder, name) });
  authz.transport_socket = {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": TLS,
      sni: "authz.test",
      common_tls_context: {
        tls_certificates: [
          { certificate_chain: file("client.crt"), private_key: file("client.key") },
        ],
        validation_context: {
          trusted_ca: file("ca.crt"),
          match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: "authz.test" } }],
        },
      },
    },
  };
  if (protocol === "grpc") {
    const explicit = { http2_protocol_options: {} };
    authz.typed_extension_protocol_options = {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": HTTP,
        explicit_http_config: explicit,
      },
    };
    const filters = parsed.static_resources.listeners.flatMap(({ filter_chains: chains }) =>
      chains.flatMap(({ filters: of }) =>
        of.flatMap((each) => each.typed_config.http_filters ?? []),
      ),
    );
    const { typed_config: check } = find(filters, "envoy.filters.http.ext_authz");
    delete check["http_service"];
    check["transport_api_version"] = "V3";
    check["grpc_service"] = { envoy_grpc: { cluster_name: "authz" }, timeout: "5s" };
  }
  return stringify(parsed);
}

describe.each(["http", "grpc"] as const)(
  "a real Envoy with a client certificate, over %s",
  (how) => {
    const parts = new AsyncDisposableStack();
    let gateway: Gateway;
    let folder = "";

    async function replacePolicy(client: string): Promise<void> {
      const policy = `callers: [{ client: "${client}", audiences: ["${API_AUDIENCE}"] }]\n`;
      await writeFile(join(folder, "policy.new"), policy);
      await rename(join(folder, "policy.new"), join(folder, "policy.yaml"));
    }

    beforeAll(async () => {
      ({ path: folder } = parts.use(await makeTemporaryFolder()));
      const path = (name: string) => join(folder, name);
      const authority = await createCertificateAuthority("test CA");
      await writeFile(path("ca.crt"), authority.certificatePem);
      const issue = async (name: string, request: Pick<CertificateRequest, "usage" | "uris">) => {
        const dnsNames = ["authz.test"];
        const issued = await authority.issue({ commonName: name, dnsNames, days: 1, ...request });
        await writeFile(path(`${name}.crt`), issued.certificatePem);
        await writeFile(path(`${name}.key`), issued.privateKeyPem);
      };
      await issue("server", { usage: "server" });
      await issue("client", { usage: "client", uris: [ENVOY] });
      await replacePolicy(ENVOY);
      const container = parts.use(
        await startHttpService({ request: (_request, response) => response.end("hello") }),
      );
      gateway = parts.use(
        await startGateway({
          container,
          serveFlags: [
            `--tls-cert=${path("server.crt")}`,
            `--tls-key=${path("server.key")}`,
            `--client-ca=${path("ca.crt")}`,
            `--policy=${path("policy.yaml")}`,
            "--admin-listen=127.0.0.1:0",
          ],
          edit: (config) => overTls(config, folder, how),
        }),
      );
    });
    afterAll(() => parts.disposeAsync());

    it("gets tokens for its callers, until the policy no longer has it", async () => {
      const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(gateway.url)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      const { identity } = gateway.google.cloudRun.requests.at(-1) ?? {};
      expect(identity).toMatchObject({ audience: API_AUDIENCE });
      await replacePolicy("spiffe://cluster.local/ns/gateways/sa/other");
      gateway.authServer.signal("SIGHUP");
      await gateway.authServer.line(({ event }) => event === "policy_changed");
      const denied = await fetch(gateway.url);
      expect(denied.status).toBe(403);
      expect(await denied.text()).toContain("caller_not_allowed");
    });
  },
);
