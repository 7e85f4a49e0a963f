import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { EnvoyConfigName } from "../../../src/envoy/configs.ts";
import { renderEnvoyConfig } from "../../../src/envoy/render.ts";
import { envoyTemplates, renderEnvoyTemplate } from "../../../src/envoy/templates.ts";
import type { EnvoyOptions } from "../../../src/envoy/values.ts";
import type { EnvoyVersion } from "../../../src/envoy/versions.ts";

const tcp = (host: string, port: number) => ({ kind: "tcp", host, port }) as const;
const OPTIONS: EnvoyOptions = {
  listen: tcp("127.0.0.1", 9090),
  admin: "none",
  authz: tcp("127.0.0.1", 8080),
  service: tcp("api-abc123-ew.a.run.app", 443),
  audience: 'an "odd" audience: # $x',
  allowOrigins: ["https://app.example.com"],
  tokenHeader: "x-serverless-authorization",
  serviceCa: "/ca.pem",
  certDir: "/certs",
  port: 8080,
  target: tcp("127.0.0.1", 7777),
};

interface Named {
  readonly name: string;
  readonly [key: string]: unknown;
}

interface Bootstrap {
  readonly static_resources: { readonly listeners: Named[]; readonly clusters: Named[] };
}

const read = (name: EnvoyConfigName) => parse(renderEnvoyConfig(name, OPTIONS).text) as Bootstrap;
const named = (list: readonly Named[], name: string) => list.find((each) => each.name === name);

/** Every value of a key, at any depth. */
function valuesOf(node: unknown, key: string): readonly unknown[] {
  if (typeof node !== "object" || node === null) return [];
  return Object.entries(node).flatMap(([name, value]) =>
    name === key ? [value] : valuesOf(value, key),
  );
}

/** The same without some keys, at any depth. */
function without(node: unknown, ...keys: readonly string[]): unknown {
  if (Array.isArray(node)) return node.map((each) => without(each, ...keys));
  if (typeof node !== "object" || node === null) return node;
  const kept = Object.entries(node).filter(([key]) => !keys.includes(key));
  return Object.fromEntries(kept.map(([key, value]) => [key, without(value, ...keys)]));
}

describe("renderEnvoyConfig", () => {
  it.each(envoyTemplates)("$file is its file with the values filled in", (template) => {
    const { name, hasRelay, isReloading } = template;
    const options = {
      ...OPTIONS,
      ...(hasRelay && { relay: tcp("127.0.0.1", 7778) }),
      ...(isReloading && { secretsDir: "/certs" }),
    };
    const { text: config, losses } = renderEnvoyConfig(name, options);
    expect(losses).toEqual([]);
    expect(config).not.toMatch(/\$\{\w/);
    expect(without(parse(config), "admin")).toEqual(
      parse(fill(JSON.stringify(without(parse(renderEnvoyTemplate(template)), "admin")))),
    );
  });

  it("sets any text as a value", () => {
    expect(valuesOf(read("gateway"), "audience")).toEqual([OPTIONS.audience, OPTIONS.audience]);
  });

  it("fails if an option is missing, and names its placeholder", () => {
    const { serviceCa: _, ...others } = OPTIONS;
    expect(() => renderEnvoyConfig("gateway", others)).toThrow("SERVICE_CA");
  });
});

/** Fills the placeholders of a config in JSON. */
function fill(json: string): string {
  const values: Readonly<Record<string, unknown>> = {
    LISTEN_HOST: "127.0.0.1",
    LISTEN_PORT: 9090,
    AUTHZ_CLUSTER_TYPE: "STATIC",
    AUTHZ_ADDRESS: { socket_address: { address: "127.0.0.1", port_value: 8080 } },
    SERVICE_HOST: "api-abc123-ew.a.run.app",
    AUDIENCE: OPTIONS.audience,
    ALLOW_ORIGINS: OPTIONS.allowOrigins,
    TOKEN_HEADER: OPTIONS.tokenHeader,
    SERVICE_ADDRESS: "api-abc123-ew.a.run.app",
    SERVICE_PORT: 443,
    SERVICE_CA: "/ca.pem",
    CERT_DIR: "/certs",
    SECRETS_DIR: "/certs",
    PORT: 8080,
    TARGET_CLUSTER_TYPE: "STATIC",
    TARGET_HOST: "127.0.0.1",
    TARGET_PORT: 7777,
    RELAY_CLUSTER_TYPE: "STATIC",
    RELAY_HOST: "127.0.0.1",
    RELAY_PORT: 7778,
  };
  return json
    .replaceAll(/"\$\{(\w+)\}"/g, (_, name: string) => JSON.stringify(values[name]))
    .replaceAll(/\$\{(\w+)\}/g, (_, name: string) => String(values[name]));
}

describe("a config for an older Envoy", () => {
  const render = (name: EnvoyConfigName, envoyVersion: EnvoyVersion) =>
    renderEnvoyConfig(name, { ...OPTIONS, envoyVersion });

  it("lacks the fields that the release does not know, and says what is lost", () => {
    const { text, losses } = render("gateway", "1.36");
    expect(text).not.toMatch(/stream_reset_|Detects clients/);
    expect(losses).toEqual([
      expect.stringMatching(/^Envoy 1\.36 has no tcp_keepalive on listeners: /),
      expect.stringMatching(/^Envoy 1\.36 has no stream_reset_burst and stream_reset_rate: /),
    ]);
  });

  it("says nothing of what the config does not use, or what changes nothing", () => {
    expect(render("gateway", "1.38").losses).toHaveLength(1);
    expect(render("tunnel-server", "1.38").text).not.toContain("user_space_socket");
    expect(render("tunnel-server", "1.38").losses).toHaveLength(1);
    expect(render("tunnel-client-push", "1.39").losses).toEqual([]);
  });
});

describe.each(["gateway", "gateway-push"] as const)("%s", (name) => {
  it("ends no stream, however long or idle", () => {
    const config = without(read(name).static_resources.listeners, "http_filters");
    const routes = valuesOf(config, "route") as readonly { readonly timeout?: string }[];
    expect(routes.map(({ timeout }) => timeout)).toEqual(["0s", "0s"]);
    expect(valuesOf(config, "stream_idle_timeout")).toEqual(["0s"]);
    for (const bound of ["max_stream_duration", "request_timeout", "max_connection_duration"]) {
      expect(valuesOf(config, bound)).toEqual([]);
    }
  });
});

describe("the configs with push", () => {
  it("differ from those with checks only in what concerns the token", () => {
    const [check, push] = [read("gateway"), read("gateway-push")].map(
      ({ static_resources: { listeners, clusters } }) => ({
        listeners: without(
          listeners,
          "http_filters",
          "access_log",
          "local_reply_config",
          "id_token",
          "typed_per_filter_config",
        ),
        clusters: clusters.filter((each) => each.name !== "authz"),
      }),
    );
    expect(push).toEqual(check);
    const [tunnelCheck, tunnelPush] = [read("tunnel-client"), read("tunnel-client-push")].map(
      ({ static_resources: { listeners, clusters } }) => [
        named(listeners, "tcp"),
        named(clusters, "mtls"),
        without(named(clusters, "service"), "http_filters"),
      ],
    );
    expect(tunnelPush).toEqual(tunnelCheck);
  });
});

describe("a tunnel client's config with streams per tunnel", () => {
  const shared = (streamsPerTunnel: number, name: EnvoyConfigName = "tunnel-client") =>
    parse(renderEnvoyConfig(name, { ...OPTIONS, streamsPerTunnel }).text) as Bootstrap;

  it("offers HTTP/2 to the tunnel server and gives a tunnel so many streams", () => {
    const mtls = named(shared(20).static_resources.clusters, "mtls");
    expect(valuesOf(mtls, "alpn_protocols")).toEqual([["h2"]]);
    expect(valuesOf(mtls, "max_concurrent_streams")).toEqual([20]);
    const [stream] = valuesOf(mtls, "initial_stream_window_size") as number[];
    expect(valuesOf(mtls, "initial_connection_window_size")).toEqual([20 * (stream ?? 0)]);
  });

  it("has a pool for each connection if a tunnel has one stream", () => {
    const pooled = (config: Bootstrap) =>
      valuesOf(config, "connection_pool_per_downstream_connection");
    expect(pooled(shared(1))).toEqual([true, true]);
    expect(pooled(shared(2))).toEqual([]);
  });

  it("replaces a tunnel before Cloud Run ends it, unless it ends with its only connection", () => {
    expect(valuesOf(shared(2), "max_connection_duration")).toEqual(["1600s"]);
    expect(valuesOf(shared(1), "max_connection_duration")).toEqual([]);
  });

  it("passes a pushed token through an HTTP connection manager, which can make a reset", () => {
    const config = shared(20, "tunnel-client-push");
    expect(named(config.static_resources.listeners, "http")).toBeDefined();
    const flag = "envoy.restart_features.upstream_http_filters_with_tcp_proxy";
    expect(valuesOf(config, flag)).toEqual([]);
    expect(valuesOf(read("tunnel-client-push"), flag)).toEqual([true]);
  });
});

describe("a tunnel's config that follows the certificates", () => {
  it.each([
    "tunnel-client",
    "tunnel-client-push",
    "tunnel-client-public",
    "tunnel-server",
  ] as const)("names files in place of the certificates, and demands the same name: %s", (name) => {
    const followed = parse(
      renderEnvoyConfig(name, { ...OPTIONS, secretsDir: "/secrets" }).text,
    ) as Bootstrap;
    const paths = valuesOf(followed, "path_config_source") as { readonly path: string }[];
    const end = name === "tunnel-server" ? "server" : "client";
    expect(new Set(paths.map(({ path }) => path))).toEqual(
      new Set([`/secrets/${end}.sds.yaml`, "/secrets/ca.sds.yaml"]),
    );
    expect(valuesOf(followed, "certificate_chain")).toEqual([]);
    expect(valuesOf(followed, "match_typed_subject_alt_names")).toEqual(
      valuesOf(read(name), "match_typed_subject_alt_names"),
    );
  });
});

describe("the tunnel server's config", () => {
  it("has a key for session tickets only if it is given", () => {
    const keys = (options: EnvoyOptions) =>
      valuesOf(parse(renderEnvoyConfig("tunnel-server", options).text), "session_ticket_keys");
    expect(keys(OPTIONS)).toEqual([]);
    const key = { keys: [{ filename: "/key" }] };
    expect(keys({ ...OPTIONS, sessionTicketKey: "/key" })).toEqual([key, key]);
  });

  it("sends the streams of shared tunnels to a relay if there is one", () => {
    const clusters = (options: EnvoyOptions) =>
      (
        parse(renderEnvoyConfig("tunnel-server", options).text) as Bootstrap
      ).static_resources.clusters.map(({ name }) => name);
    expect(clusters(OPTIONS)).toEqual(["mtls", "target"]);
    expect(clusters({ ...OPTIONS, relay: tcp("127.0.0.1", 7778) })).toContain("relay");
  });
});
