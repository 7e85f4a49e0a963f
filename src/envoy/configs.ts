import type { TcpAddress } from "../system/address.ts";
import { composeYaml, placeholdersOf } from "./compose.ts";
import { readPart } from "./parts.ts";
import { envoyValues, type EnvoyOptions } from "./values.ts";
import {
  hasFeature,
  isVersionFeature,
  lossWithout,
  newestEnvoyVersion,
  type EnvoyVersion,
  type VersionFeatureName,
} from "./versions.ts";

interface EnvoyConfig {
  /** The part that the config starts from. */
  readonly part: "gateway" | "tunnel-client" | "tunnel-server";
  readonly features: readonly Feature[];
  /** The first lines of the config. */
  readonly about: string;
}

/** What `!if:FEATURE` and `!part NAME if FEATURE` may ask for, besides the release's features. */
const FEATURES = [
  /** Each request waits for a check by the auth server. */
  "checks",
  /** The check names the audience of the request's route. */
  "audience-by-route",
  /** The check names the host of the request as the audience. */
  "audience-by-host",
  /** All requests are for one service, apart from those that the examples add. */
  "one-service",
  /** Requests are for the service that they name. */
  "any-service",
  /** The service, or every service, is reached at one address. */
  "fixed-address",
  /** Each service is reached at the addresses of its own name. */
  "forward-proxy",
  /** Services at private addresses are refused. */
  "public-only",
  /** Envoy fetches tokens ahead of need. */
  "push",
  /** The config uses the auth server. */
  "tokens",
  /** Clients may use methods that HTTP libraries do not know. */
  "any-method",
  /** The auth server is reached over TLS, with a client certificate. */
  "authz-tls",
  /** A tunnel's POST passes through an HTTP connection manager. */
  "http-hop",
  /** It does not. */
  "direct-post",
  /** Connections are streams inside a tunnel's mTLS session; in the other case they are sessions. */
  "shared",
  "unshared",
  /** A tunnel has one such stream; in the other case it may have more. */
  "single-stream",
  "multi-stream",
  /** A relay connects these streams to the TCP server; in the other case Envoy does. */
  "relay",
  "no-relay",
  /** Tunnel servers resume each other's TLS sessions. */
  "shared-tickets",
  /** Envoy follows the certificates; in the other case it reads them at its start. */
  "followed-certs",
  "fixed-certs",
  /** The same for the certificates for an auth server over TLS. */
  "followed-authz-certs",
  "fixed-authz-certs",
  /** Envoy must identify itself, as always to fetch secrets. */
  "node",
] as const;

type Feature = (typeof FEATURES)[number];

const CONFIGS = {
  "tunnel-client": {
    part: "tunnel-client",
    features: ["checks", "tokens", "http-hop"],
    about: `Accepts TCP connections and tunnels each to the TCP server behind a private Cloud Run service:
mTLS to the tunnel server, inside a POST request to Cloud Run that carries an ID token.`,
  },
  "tunnel-client-push": {
    part: "tunnel-client",
    features: ["push", "tokens", "direct-post"],
    about: `Accepts TCP connections and tunnels each to the TCP server behind a private Cloud Run service:
mTLS to the tunnel server, inside a POST request to Cloud Run that carries an ID token. Envoy fetches
the token ahead of need: no connection waits for the auth server, and connections succeed while it is
down, until the token expires.`,
  },
  "tunnel-client-public": {
    part: "tunnel-client",
    features: ["http-hop"],
    about: `Accepts TCP connections and tunnels each to the TCP server behind a Cloud Run service that allows
unauthenticated callers: mTLS to the tunnel server, inside a POST request without a token. Only the
client's certificate decides who gets in.`,
  },
  "tunnel-server": {
    part: "tunnel-server",
    features: [],
    about: `The other end of the tunnel, next to a TCP server in a Cloud Run container (deployed with
--use-http2): accepts POST streams, terminates mTLS and passes plain TCP to the server.`,
  },
  gateway: {
    part: "gateway",
    features: ["checks", "audience-by-route", "any-method", "one-service", "fixed-address"],
    about: `Accepts HTTP/1.1, HTTP/2 without TLS and gRPC on one port and sends each request to a private Cloud
Run service, with an ID token from the auth server.

More services can share the port, each with its own host name. The examples in comments below add a
second service, and a third with a custom domain.`,
  },
  "gateway-push": {
    part: "gateway",
    features: ["push", "one-service", "fixed-address"],
    about: `Accepts HTTP/1.1, HTTP/2 without TLS and gRPC on one port and sends each request to a private Cloud
Run service, with an ID token that Envoy fetches from the auth server ahead of need: no request waits
for the auth server, and requests succeed while it is down, until the token expires.

More services can share the port, each with its own host name. The examples in comments below add a
second service, and a third with a custom domain.`,
  },
  "gateway-any": {
    part: "gateway",
    features: ["checks", "audience-by-host", "any-method", "any-service"],
    about: `Accepts HTTP/1.1, HTTP/2 without TLS and gRPC on one port and sends each request to the private Cloud
Run service whose host it names (Host, :authority, or the URL of a request to an HTTP proxy), with an
ID token from the auth server for that service. The auth server decides which services are allowed.`,
  },
} as const satisfies Readonly<Record<string, EnvoyConfig>>;

/** A config's name, as `envoy NAME` takes it. */
export type EnvoyConfigName = keyof typeof CONFIGS;

/** The names of all configs. */
export const envoyConfigNames = Object.keys(CONFIGS) as readonly EnvoyConfigName[];

/** Whether there is a config of this name. */
export function isEnvoyConfigName(text: string): text is EnvoyConfigName {
  return Object.hasOwn(CONFIGS, text);
}

/** Whether a config gets tokens from an auth server. */
export function needsAuthServer(name: EnvoyConfigName): boolean {
  const { features }: EnvoyConfig = CONFIGS[name];
  return features.includes("checks") || features.includes("push");
}

/** A config for a use of it. */
export interface RenderedConfig {
  readonly text: string;
  /** What Envoy's release lacks and what follows from it, one sentence each. */
  readonly losses: readonly string[];
}

/** Renders a complete config. Throws an Error that lists the placeholders of missing options. */
export function renderEnvoyConfig(name: EnvoyConfigName, options: EnvoyOptions): RenderedConfig {
  const { envoyVersion = newestEnvoyVersion } = options;
  const heading = `${CONFIGS[name].about}\n\nPrinted by \`idtoken-authz envoy ${name}\`.`;
  const { body, missing } = compose(name, { ...options, envoyVersion }, envoyValues(options));
  const losses = [...missing].flatMap((feature) => lossWithout(feature) ?? []);
  return {
    text: `${comment(heading)}\n${body}`,
    losses: losses.map((lost) => `Envoy ${envoyVersion} has no ${lost}.`),
  };
}

/** A file of `envoy/`: a config with placeholders in place of its values. */
export interface EnvoyTemplate {
  /** The file's name without its extension. */
  readonly file: string;
  readonly name: EnvoyConfigName;
  readonly hasRelay: boolean;
}

/** Each config, and the tunnel server's again with a relay. */
export const envoyTemplates: readonly EnvoyTemplate[] = [
  ...envoyConfigNames.map((name) => ({ file: name, name, hasRelay: false })),
  { file: "tunnel-server-relay", name: "tunnel-server", hasRelay: true },
];

/** A config with `${NAME}` placeholders for envsubst, which are explained at its top. */
export function renderEnvoyTemplate({ name, hasRelay }: EnvoyTemplate): string {
  const { body } = compose(name, {
    envoyVersion: newestEnvoyVersion,
    ...(hasRelay && { relay: ANY_ADDRESS }),
  });
  const placeholders = placeholdersOf(body);
  const serviceFlag = placeholders.has("SERVICE_HOST") ? " --service-url URL" : "";
  const relayFlag = hasRelay ? " --relay HOST:PORT" : "";
  const heading = `${CONFIGS[name].about}

\`idtoken-authz envoy ${name}${serviceFlag}${relayFlag}\` prints this config with its values. To fill it in
yourself, set these variables (the values are examples) and pipe this file through envsubst:

${exampleExports(name, placeholders)}
${placeholders.has("AUTHZ_ADDRESS") ? `\n${CHECK_SECRET_NOTE}\n` : ""}
Generated from src/envoy/parts by \`npm run envoy:write\`.`;
  return `${comment(heading)}\n${body}`;
}

/** Says that there is an address; a placeholder takes its place. */
const ANY_ADDRESS: TcpAddress = { kind: "tcp", host: "", port: 0 };

const CHECK_SECRET_NOTE =
  "Envoy itself reads CHECK_SECRET, if the auth server runs with --check-secret-file.";

function compose(
  name: EnvoyConfigName,
  options: EnvoyOptions & { readonly envoyVersion: EnvoyVersion },
  values?: Readonly<Record<string, unknown>>,
): { readonly body: string; readonly missing: ReadonlySet<VersionFeatureName> } {
  const { part } = CONFIGS[name];
  const features = featuresOf(name, options);
  const missing = new Set<VersionFeatureName>();
  const isOn = (feature: string): boolean => {
    if (isVersionFeature(feature)) {
      const has = hasFeature(options.envoyVersion, feature);
      if (!has) missing.add(feature);
      return has;
    }
    const known = FEATURES.find((each) => each === feature);
    if (known === undefined) throw new Error(`part ${part}: unknown feature ${feature}`);
    return features.has(known);
  };
  return { body: composeYaml(part, { read: readPart, isOn, values }), missing };
}

/** A config's features, some of which depend on its options. */
function featuresOf(name: EnvoyConfigName, options: EnvoyOptions): ReadonlySet<Feature> {
  const features = new Set<Feature>(CONFIGS[name].features);
  if (options.authz?.kind === "https") features.add("authz-tls");
  if (features.has("any-service")) addReach(features, options);
  features.add(options.relay === undefined ? "no-relay" : "relay");
  features.add(options.secretsDir === undefined ? "fixed-certs" : "followed-certs");
  if (options.sessionTicketKey !== undefined) features.add("shared-tickets");
  features.add(options.followsAuthzCerts === true ? "followed-authz-certs" : "fixed-authz-certs");
  const needNode = ["push", "followed-certs", "followed-authz-certs"] as const;
  if (needNode.some((feature) => features.has(feature))) features.add("node");
  const { streamsPerTunnel } = options;
  if (streamsPerTunnel === undefined) return features.add("unshared");
  features.delete("direct-post");
  return features
    .add("http-hop")
    .add("shared")
    .add(streamsPerTunnel === 1 ? "single-stream" : "multi-stream");
}

function addReach(features: Set<Feature>, options: EnvoyOptions): void {
  if (options.connectTo !== undefined) {
    features.add("fixed-address");
    return;
  }
  features.add("forward-proxy");
  if (options.allowPrivateAddresses !== true) features.add("public-only");
}

function comment(text: string): string {
  return `${text.replaceAll(/^.*$/gm, (line) => `# ${line}`.trimEnd())}\n`;
}

function exampleExports(name: EnvoyConfigName, placeholders: ReadonlySet<string>): string {
  const isGateway = CONFIGS[name].part === "gateway";
  const host = isGateway ? "api-abc123-ew.a.run.app" : "tunnel-abc123-ew.a.run.app";
  const files =
    name === "tunnel-server" ? "server.crt and server.key" : "client.crt and client.key";
  const examples: Readonly<Record<string, string>> = {
    ADMIN: "'{}'    # or '{address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}'",
    LISTEN_HOST: "127.0.0.1",
    LISTEN_PORT: isGateway ? "9090" : "7777",
    PORT: "8080    # set by Cloud Run in the container",
    CERT_DIR: `/etc/tunnel/certs    # contains ca.crt, ${files}`,
    AUTHZ_CLUSTER_TYPE: "STATIC    # LOGICAL_DNS if the address is a name",
    AUTHZ_ADDRESS:
      "'{socket_address: {address: 127.0.0.1, port_value: 8080}}'    # or '{pipe: {path: /run/authz.sock}}'",
    AUDIENCE: `https://${host}    # must be allowed by the auth server`,
    SERVICE_HOST: host,
    SERVICE_ADDRESS: `${host}    # where to connect; usually the same`,
    SERVICE_PORT: "443",
    ALLOW_ORIGINS: `'[]'    # or '["https://app.example.com"]'`,
    TOKEN_HEADER: "authorization    # as in the auth server's --token-header",
    SERVICE_CA: "/etc/ssl/certs/ca-certificates.crt",
    TARGET_CLUSTER_TYPE: "STATIC    # STRICT_DNS if the host is a name",
    TARGET_HOST: "127.0.0.1",
    TARGET_PORT: "7777",
    RELAY_CLUSTER_TYPE: "STATIC    # STRICT_DNS if the host is a name",
    RELAY_HOST: "127.0.0.1",
    RELAY_PORT: "7778",
  };
  const undocumented = [...placeholders].filter((each) => examples[each] === undefined);
  if (undocumented.length > 0) throw new Error(`no example of ${undocumented.join(", ")}`);
  return Object.entries(examples)
    .filter(([each]) => placeholders.has(each))
    .map(([each, example]) => `  export ${each}=${example}`)
    .join("\n");
}
