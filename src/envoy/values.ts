import { isIP } from "node:net";
import type { EnvoyVersion } from "./versions.ts";
import type { Address, TcpAddress } from "../system/address.ts";

/** Where the auth server is: a TCP address, a Unix socket, or a host name over TLS. */
export type AuthServerAddress =
  | Address
  | { readonly kind: "https"; readonly host: string; readonly port: number };

/** What differs between two uses of a config. Each config uses some of these. */
export interface EnvoyOptions {
  /** Where Envoy accepts connections; the host is an IP address. */
  readonly listen?: TcpAddress | undefined;
  /** Where Envoy serves its admin interface; a host is an IP address. */
  readonly admin?: Address | "none" | undefined;
  readonly authz?: AuthServerAddress | undefined;
  /** Path of the folder with ca.crt, client.crt and client.key for an auth server over TLS. */
  readonly authzCertDir?: string | undefined;
  /** Whether Envoy follows the certificates there, by the files that `certs` writes for it. */
  readonly followsAuthzCerts?: boolean | undefined;
  /** The Cloud Run service, by its own host name. */
  readonly service?: TcpAddress | undefined;
  /** The audience of the service's tokens. */
  readonly audience?: string | undefined;
  /** Web origins that may use a gateway besides its own. */
  readonly allowOrigins?: readonly string[] | undefined;
  /** Whether services may have private addresses, where a gateway resolves their names itself. */
  readonly allowPrivateAddresses?: boolean | undefined;
  /** The header that Envoy sets to a pushed token. */
  readonly tokenHeader?: string | undefined;
  /** Where to connect instead of to `service`. */
  readonly connectTo?: TcpAddress | undefined;
  /** Path of a PEM bundle with the CA of the service's certificate. */
  readonly serviceCa?: string | undefined;
  readonly certDir?: string | undefined;
  /** Path of the folder with the files that make Envoy follow certDir; it does not if absent. */
  readonly secretsDir?: string | undefined;
  /** Path of the key that tunnel servers share to resume each other's TLS sessions; 80 bytes. */
  readonly sessionTicketKey?: string | undefined;
  /** The tunnel server's port, on all addresses. */
  readonly port?: number | undefined;
  readonly target?: TcpAddress | undefined;
  /** How many connections share a tunnel; each has its own, without HTTP/2 inside, if absent. */
  readonly streamsPerTunnel?: number | undefined;
  /** Where the tunnel server's relay listens, if there is one. */
  readonly relay?: TcpAddress | undefined;
  /** The release that the config is for; the newest if absent. */
  readonly envoyVersion?: EnvoyVersion | undefined;
}

/** The values of the placeholders for the options that are given. */
export function envoyValues(options: EnvoyOptions): Readonly<Record<string, unknown>> {
  const { listen, admin, authz, service, audience, serviceCa, certDir, port, target } = options;
  const { streamsPerTunnel, relay, secretsDir, sessionTicketKey } = options;
  const reached = options.connectTo ?? service;
  const { allowOrigins, tokenHeader, authzCertDir } = options;
  return {
    ...(listen && { LISTEN_HOST: listen.host, LISTEN_PORT: listen.port }),
    ...(admin && { ADMIN: admin === "none" ? {} : { address: envoyAddress(admin) } }),
    ...(authz?.kind === "https" && { AUTHZ_HOST: authz.host }),
    ...(authzCertDir !== undefined && { AUTHZ_CERT_DIR: authzCertDir }),
    ...(authz && {
      AUTHZ_CLUSTER_TYPE: isName(authz) ? "LOGICAL_DNS" : "STATIC",
      AUTHZ_ADDRESS: envoyAddress(authz),
    }),
    ...(allowOrigins && { ALLOW_ORIGINS: allowOrigins }),
    ...(tokenHeader !== undefined && { TOKEN_HEADER: tokenHeader }),
    ...(service && { SERVICE_HOST: service.host }),
    ...(audience !== undefined && { AUDIENCE: audience }),
    ...(reached && { SERVICE_ADDRESS: reached.host, SERVICE_PORT: reached.port }),
    ...(serviceCa !== undefined && { SERVICE_CA: serviceCa }),
    ...(certDir !== undefined && { CERT_DIR: certDir }),
    ...(secretsDir !== undefined && { SECRETS_DIR: secretsDir }),
    ...(sessionTicketKey !== undefined && { SESSION_TICKET_KEY: sessionTicketKey }),
    ...(port !== undefined && { PORT: port }),
    ...(streamsPerTunnel !== undefined && tunnelValues(streamsPerTunnel)),
    ...(relay && {
      RELAY_CLUSTER_TYPE: isName(relay) ? "STRICT_DNS" : "STATIC",
      RELAY_HOST: relay.host,
      RELAY_PORT: relay.port,
    }),
    ...(target && {
      TARGET_CLUSTER_TYPE: isName(target) ? "STRICT_DNS" : "STATIC",
      TARGET_HOST: target.host,
      TARGET_PORT: target.port,
    }),
  };
}

/** What a connection's sender may have on its way, in bytes. */
const STREAM_WINDOW_BYTES = 16_777_216;

/** All connections' windows together, so that a stalled one cannot block the others of its tunnel. */
function tunnelValues(streamsPerTunnel: number): Readonly<Record<string, unknown>> {
  return {
    STREAMS_PER_TUNNEL: streamsPerTunnel,
    TUNNEL_STREAM_WINDOW: STREAM_WINDOW_BYTES,
    TUNNEL_WINDOW: STREAM_WINDOW_BYTES * streamsPerTunnel,
  };
}

/** A service's URL, which is the default audience of its tokens. */
export function urlOf({ host, port }: TcpAddress): string {
  return port === 443 ? `https://${host}` : `https://${host}:${port}`;
}

/** Names must be resolved again and again; IP addresses and sockets need no resolution. */
function isName(address: AuthServerAddress): boolean {
  return address.kind !== "unix" && isIP(address.host) === 0;
}

/** An address as Envoy's `core.v3.Address`. */
function envoyAddress(address: AuthServerAddress): object {
  return address.kind === "unix"
    ? { pipe: { path: address.path } }
    : { socket_address: { address: address.host, port_value: address.port } };
}
