import { parseCallerPattern } from "../access/pattern.ts";
import type { TlsPaths } from "../access/tls-files.ts";
import { parsePath } from "./paths.ts";
import { many, optional, type Values } from "./table.ts";

/** The settings of an auth server that other machines share. */
export const sharedSettings = {
  tlsCert: optional(
    {
      flag: "tls-cert",
      env: "TLS_CERT",
      placeholder: "FILE",
      help: "Certificate (PEM) for TLS on the listen address, with its intermediates. It is followed: a renewed one is used for new connections.",
    },
    parsePath,
  ),
  tlsKey: optional(
    {
      flag: "tls-key",
      env: "TLS_KEY",
      placeholder: "FILE",
      help: "Key (PEM) of that certificate.",
    },
    parsePath,
  ),
  clientCa: optional(
    {
      flag: "client-ca",
      env: "CLIENT_CA",
      placeholder: "FILE",
      help: "CA certificates (PEM) of clients. A connection without a certificate of one of these ends in the handshake.",
    },
    parsePath,
  ),
  allowClients: many(
    {
      flag: "allow-client",
      env: "ALLOW_CLIENT",
      placeholder: "NAME",
      defaultNote: "every client with a certificate",
      help: "Clients that are answered: a DNS name or URI of their certificate, exact or with * as in spiffe://cluster.local/ns/shop/sa/*. Repeat it, or separate with commas.",
    },
    parseCallerPattern,
  ),
  policy: optional(
    {
      flag: "policy",
      env: "POLICY",
      placeholder: "FILE",
      help: "YAML file that says which audiences each caller may have, and as which account. It is followed.",
    },
    parsePath,
  ),
};

/** How a server is shared. */
export interface SharedConfig {
  readonly tls: TlsPaths;
  /** Exact or with `*`; empty for every client with a certificate. */
  readonly allowClients: readonly string[];
  /** Path of the policy. */
  readonly policy: string | undefined;
}

/** Combines the settings; undefined without TLS. Each rule that they break goes to `fault`. */
export function toSharedConfig(
  { tlsCert, tlsKey, clientCa, allowClients, policy }: Values<typeof sharedSettings>,
  fault: (message: string) => void,
): SharedConfig | undefined {
  if (tlsCert === undefined && tlsKey !== undefined) fault("--tls-key: needs --tls-cert");
  if (tlsCert !== undefined && tlsKey === undefined) fault("--tls-cert: needs --tls-key");
  if (tlsCert === undefined && clientCa !== undefined) fault("--client-ca: needs --tls-cert");
  if (clientCa === undefined) {
    const why = "needs --client-ca, by which clients are known";
    if (allowClients.length > 0) fault(`--allow-client: ${why}`);
    if (policy !== undefined) fault(`--policy: ${why}`);
  }
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return { tls: { cert: tlsCert, key: tlsKey, clientCa }, allowClients, policy };
}
