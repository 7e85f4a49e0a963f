import { parseDocument, visit, type YAMLMap } from "yaml";

/** How Envoy makes its calls: by its own client, or by Google's library. */
export type GrpcClient = "envoy_grpc" | "google_grpc";

export interface GrpcAuthzOptions {
  readonly client?: GrpcClient;
  /** The address of the auth server, which `google_grpc` names itself. */
  readonly authz: string;
  /** The audience that every route names. */
  readonly audience?: string;
  /** Whether Envoy checks the auth server's health. */
  readonly healthCheck?: boolean;
}

const TYPES = "type.googleapis.com/envoy.extensions";
/** As long as the HTTP checks of the shipped configs; connections that fail are safe to retry. */
const RETRIES = {
  retry_on: "connect-failure,reset,refused-stream",
  num_retries: 30,
  retry_back_off: { base_interval: "0.05s", max_interval: "0.5s" },
};
const HTTP2 = {
  [`envoy.extensions.upstreams.http.v3.HttpProtocolOptions`]: {
    "@type": `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  },
};

/** Changes a config's checks from HTTP to gRPC, and the rest not at all. */
export function checkOverGrpc(config: string, options: GrpcAuthzOptions): string {
  const document = parseDocument(config);
  visit(document, {
    Map: (_key, map) => {
      if (map.has("http_service")) useGrpcService(map, options);
      if (map.get("name") === "authz" && map.has("load_assignment")) {
        useHttp2(map, options);
      }
      const { audience } = options;
      if (audience !== undefined && map.has("match") && map.has("route")) {
        nameAudience(map, audience);
      }
    },
  });
  return document.toString();
}

function useGrpcService(filter: YAMLMap, { client = "envoy_grpc", authz }: GrpcAuthzOptions): void {
  filter.delete("http_service");
  filter.delete("allowed_headers");
  filter.set("transport_api_version", "V3");
  const services = {
    envoy_grpc: { cluster_name: "authz" },
    google_grpc: { target_uri: authz, stat_prefix: "authz" },
  };
  filter.set("grpc_service", { [client]: services[client], timeout: "10s", retry_policy: RETRIES });
}

function useHttp2(cluster: YAMLMap, { healthCheck = false }: GrpcAuthzOptions): void {
  cluster.set("typed_extension_protocol_options", HTTP2);
  if (!healthCheck) return;
  cluster.set("health_checks", [
    {
      timeout: "1s",
      interval: "1s",
      unhealthy_threshold: 1,
      healthy_threshold: 1,
      grpc_health_check: {},
    },
  ]);
}

function nameAudience(route: YAMLMap, audience: string): void {
  route.set("typed_per_filter_config", {
    "envoy.filters.http.ext_authz": {
      "@type": `${TYPES}.filters.http.ext_authz.v3.ExtAuthzPerRoute`,
      check_settings: { context_extensions: { audience } },
    },
  });
}
