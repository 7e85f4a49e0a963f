import { isIP } from "node:net";
import type { Address, TcpAddress } from "../system/address.ts";

/** What differs between two uses of a config. Each config takes some of these, each checked. */
export interface EnvoyOptions {
  /** Where connections come in; its host is an IP address. */
  readonly listen?: TcpAddress | undefined;
  /** Envoy's own admin endpoint; its host is an IP address. */
  readonly admin?: TcpAddress | "none" | undefined;
  readonly authz?: Address | undefined;
  /** The Cloud Run service, by its own name. */
  readonly service?: TcpAddress | undefined;
  /** What the service's tokens are for; `service-url`: its URL. */
  readonly audience?: string | undefined;
  /** Where the service is reached instead. */
  readonly connectTo?: TcpAddress | undefined;
  /** PEM bundle that vouches for the service's certificate. */
  readonly serviceCa?: string | undefined;
  readonly certDir?: string | undefined;
  /** Where the tunnel server takes requests, on every address of its host. */
  readonly port?: number | undefined;
  readonly target?: TcpAddress | undefined;
}

const PLACEHOLDER = /\$\{([^}]*)\}/g;

/** The names of a template's `${NAME}` placeholders. */
export function placeholdersOf(template: string): ReadonlySet<string> {
  return new Set([...template.matchAll(PLACEHOLDER)].map(([, name = ""]) => name));
}

/**
 * Fills a template's `${NAME}` placeholders. Throws an Error that names every placeholder without
 * a variable and every variable without a placeholder.
 */
export function renderEnvoyConfig(
  template: string,
  variables: Readonly<Record<string, string>>,
): string {
  const wanted = placeholdersOf(template);
  const faults = [
    ...[...wanted]
      .filter((name) => !Object.hasOwn(variables, name))
      .map((name) => `no variable for \${${name}}`),
    ...Object.keys(variables)
      .filter((name) => !wanted.has(name))
      .map((name) => `no placeholder for ${name}`),
  ];
  if (faults.length > 0) throw new Error(`the template does not fit: ${faults.join(", ")}`);
  return template.replace(PLACEHOLDER, (_, name: string) => variables[name] ?? "");
}

/** The variables for the options that are given, as text that is safe inside the templates. */
export function envoyVariables(options: EnvoyOptions): Readonly<Record<string, string>> {
  const { listen, admin, authz, service, audience, serviceCa, certDir, port, target } = options;
  const reached = options.connectTo ?? service;
  return {
    ...(listen && { LISTEN_HOST: listen.host, LISTEN_PORT: String(listen.port) }),
    ...(admin && { ADMIN: admin === "none" ? "{}" : `{address: ${addressYaml(admin)}}` }),
    ...(authz && { AUTHZ_CLUSTER_TYPE: clusterType(authz), AUTHZ_ADDRESS: addressYaml(authz) }),
    ...(service && { SERVICE_HOST: service.host }),
    ...(service &&
      audience && { AUDIENCE: audience === "service-url" ? urlOf(service) : audience }),
    ...(reached && { SERVICE_ADDRESS: reached.host, SERVICE_PORT: String(reached.port) }),
    ...(serviceCa !== undefined && { SERVICE_CA: serviceCa }),
    ...(certDir !== undefined && { CERT_DIR: certDir }),
    ...(port !== undefined && { PORT: String(port) }),
    ...(target && {
      TARGET_CLUSTER_TYPE: clusterType(target),
      TARGET_HOST: target.host,
      TARGET_PORT: String(target.port),
    }),
  };
}

/** A service's URL, which is what its tokens are for by default. */
export function urlOf({ host, port }: TcpAddress): string {
  return port === 443 ? `https://${host}` : `https://${host}:${port}`;
}

/** A name's addresses have to be asked for again and again; an IP address or a socket does not. */
function clusterType(address: Address): "STATIC" | "STRICT_DNS" {
  return address.kind === "tcp" && isIP(address.host) === 0 ? "STRICT_DNS" : "STATIC";
}

function addressYaml(address: Address): string {
  return address.kind === "unix"
    ? `{pipe: {path: "${address.path}"}}`
    : `{socket_address: {address: "${address.host}", port_value: ${address.port}}}`;
}
