import type { EnvoyOptions } from "./values.ts";

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

/** The name of a feature that does not depend on the release. */
export type Feature = (typeof FEATURES)[number];

/** Whether a feature of this name exists. */
export function isFeature(name: string): name is Feature {
  return FEATURES.some((each) => each === name);
}

/** A config's own features and those that follow from its options. */
export function featuresFor(own: readonly Feature[], options: EnvoyOptions): ReadonlySet<Feature> {
  const features = new Set<Feature>(own);
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
