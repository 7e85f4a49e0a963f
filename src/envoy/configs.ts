import type { Feature } from "./features.ts";

interface EnvoyConfig {
  /** The part that the config starts from. */
  readonly part: "gateway" | "tunnel-client" | "tunnel-server";
  readonly features: readonly Feature[];
  /** The first lines of the config. */
  readonly about: string;
}

/** Every config of `envoy NAME`. */
export const CONFIGS = {
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
