import { existsSync } from "node:fs";
import { isIP } from "node:net";
import { resolve } from "node:path";
import { canonicalAudience, parseAudience } from "../access/audience.ts";
import { envoyConfigNames, isEnvoyConfigName, type EnvoyConfigName } from "../envoy/configs.ts";
import { urlOf, type AuthServerAddress } from "../envoy/values.ts";
import { newestEnvoyVersion, parseEnvoyVersion } from "../envoy/versions.ts";
import {
  isHostname,
  parseAddress,
  parsePort,
  parseTcpAddress,
  type TcpAddress,
} from "../system/address.ts";
import { UsageError } from "../system/errors.ts";
import { serveSettings } from "./serve.ts";
import {
  firstPositional,
  one,
  optional,
  parseSettings,
  refused,
  toggle,
  type Setting,
  type Values,
} from "./table.ts";

/** Where Linux distributions, BSDs and macOS store the CA certificates they trust. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

const RELOAD_CERTS = toggle({
  flag: "reload-certs",
  defaultNote: "on if --cert-dir has the *.sds.yaml files that certs writes for it",
  help: "Envoy uses renewed certificates for new connections without a restart, by the *.sds.yaml files in --cert-dir.",
});

/** The flags of `envoy`, of all configs together. */
export const envoySettings = {
  service: optional(
    {
      flag: "service-url",
      placeholder: "URL",
      help: "The Cloud Run service, for example https://tunnel-abc123-ew.a.run.app.",
    },
    parseServiceUrl,
  ),
  audience: one(
    {
      flag: "audience",
      placeholder: "AUDIENCE",
      default: "service-url",
      help: "The audience of the service's tokens, which the auth server must allow. For a service with a custom domain, this is its run.app URL.",
    },
    parseAudience,
  ),
  listen: one(
    {
      flag: "listen",
      placeholder: "HOST:PORT",
      default: "127.0.0.1:7777",
      help: "Where Envoy accepts connections; the default for a gateway is 127.0.0.1:9090. Anyone who can connect can use the service, so keep it on loopback.",
    },
    parseListen,
  ),
  authz: one(
    {
      flag: "authz",
      placeholder: "HOST:PORT|unix:PATH|https://HOST:PORT",
      default: "127.0.0.1:8080",
      help: "Where the auth server listens; with https://, by TLS and with a client certificate.",
    },
    parseAuthServer,
  ),
  authzCertDir: one(
    {
      flag: "authz-cert-dir",
      placeholder: "DIR",
      default: "certs",
      help: "Folder with ca.crt, client.crt and client.key, for an auth server at https://. With the *.sds.yaml files of certs, renewed ones are used without a restart.",
    },
    parsePath,
  ),
  tokenHeader: one(
    {
      ...serveSettings.tokenHeader,
      default: "authorization",
      help: "Header that carries the token, as in the auth server's --token-header.",
    },
    (text) => serveSettings.tokenHeader.read([text]),
  ),
  allowOrigins: {
    flag: "allow-origin",
    env: "ALLOW_ORIGIN",
    placeholder: "ORIGIN",
    default: "none",
    help: "Web origins whose pages may use the gateway besides its own pages, for example https://app.example.com. Repeat the flag or separate origins by commas.",
    read: (texts: readonly string[]) =>
      texts.flatMap((text) => text.split(",")).flatMap((text) => parseOrigin(text.trim())),
  },
  allowPrivateAddresses: toggle({
    flag: "allow-private-addresses",
    default: "off",
    help: "Lets gateway-any connect to services whose name resolves to a private, loopback or link-local address, as with private DNS zones.",
  }),
  admin: one(
    {
      flag: "admin",
      placeholder: "HOST:PORT",
      default: "none",
      help: "Where Envoy serves its admin interface, which can stop Envoy, so keep it on loopback.",
    },
    (text) => (text === "none" ? text : parseListen(text)),
  ),
  certDir: one(
    {
      flag: "cert-dir",
      placeholder: "DIR",
      default: "certs",
      help: "Folder with ca.crt and, for the client end of the tunnel, client.crt and client.key, or for the server end, server.crt and server.key.",
    },
    parsePath,
  ),
  reloadCerts: {
    ...RELOAD_CERTS,
    read: (texts: readonly string[]) => (texts.length === 0 ? undefined : RELOAD_CERTS.read(texts)),
  },
  sessionTicketKey: optional(
    {
      flag: "session-ticket-key",
      placeholder: "FILE",
      defaultNote: "one that each Envoy makes up",
      help: "File with 80 random bytes, the same for all instances of a tunnel server, so that they resume each other's TLS sessions.",
    },
    parsePath,
  ),
  connectTo: optional(
    {
      flag: "connect-to",
      placeholder: "HOST:PORT",
      defaultNote: "the service's own",
      help: "Where to connect instead, for tests and private networks. The certificate there must still be for the service's host.",
    },
    parseRemote,
  ),
  serviceCa: {
    flag: "service-ca",
    placeholder: "FILE",
    defaultNote: "the system's bundle",
    help: "CA certificates (PEM) to verify the service's certificate with.",
    read: (texts: readonly string[]) => parsePath(texts.at(-1) ?? findSystemBundle()),
  },
  port: one(
    {
      flag: "port",
      placeholder: "N",
      default: "8080",
      help: "The tunnel server's port, on all addresses of its container.",
    },
    (text) => parsePort(text, 0),
  ),
  target: one(
    {
      flag: "target",
      placeholder: "HOST:PORT",
      default: "127.0.0.1:7777",
      help: "The TCP server behind the tunnel server.",
    },
    parseRemote,
  ),
  streamsPerTunnel: optional(
    {
      flag: "streams-per-tunnel",
      placeholder: "N",
      defaultNote: "a tunnel per connection, without HTTP/2 inside",
      help: "How many connections share a tunnel: one request to Cloud Run, one mTLS session and one token, 1 to 100. Needs a tunnel server of this version, preferably with a relay.",
    },
    parseStreamsPerTunnel,
  ),
  relay: optional(
    {
      flag: "relay",
      placeholder: "HOST:PORT",
      defaultNote: "Envoy itself",
      help: "Where idtoken-authz relay listens, which connects the streams of shared tunnels to the TCP server without loss. Its --target must be the same.",
    },
    parseRemote,
  ),
  envoyVersion: one(
    {
      flag: "envoy-version",
      placeholder: "V",
      default: newestEnvoyVersion,
      help: "The Envoy release that the config is for, from 1.36. What an older release does not know is left out, and standard error says what is lost.",
    },
    parseEnvoyVersion,
  ),
  output: optional(
    {
      flag: "output",
      placeholder: "FILE",
      defaultNote: "standard output",
      help: "File to write the config to, for containers without a shell.",
    },
    parsePath,
  ),
};

type Key = keyof typeof envoySettings;

/** The values of the flags; undefined if the config does not use them. */
export type EnvoyFlags = { readonly [K in Key]: Values<typeof envoySettings>[K] | undefined };

interface FlagsOfConfig {
  readonly uses: readonly Key[];
  readonly needs?: readonly Key[];
  readonly defaults?: { readonly [K in Key]?: string };
}

const FLAGS_OF_ALL: ReadonlySet<Key> = new Set(["admin", "envoyVersion", "output"]);
const CLIENT_FLAGS = ["service", "listen", "connectTo", "serviceCa"] as const;
const TUNNEL_CLIENT: FlagsOfConfig = {
  uses: [...CLIENT_FLAGS, "authz", "authzCertDir", "certDir", "reloadCerts", "streamsPerTunnel"],
  needs: ["service"],
};
const GATEWAY: FlagsOfConfig = {
  uses: [...CLIENT_FLAGS, "authz", "authzCertDir", "audience", "allowOrigins"],
  needs: ["service"],
  defaults: { listen: "127.0.0.1:9090" },
};

/** The flags that each config uses besides those of all configs, the flags it needs, and its own defaults. */
const CONFIGS: Readonly<Record<EnvoyConfigName, FlagsOfConfig>> = {
  "tunnel-client": TUNNEL_CLIENT,
  "tunnel-client-push": { ...TUNNEL_CLIENT, uses: [...TUNNEL_CLIENT.uses, "tokenHeader"] },
  "tunnel-client-public": {
    uses: [...CLIENT_FLAGS, "certDir", "reloadCerts", "streamsPerTunnel"],
    needs: ["service"],
  },
  "gateway-any": {
    uses: [
      "listen",
      "authz",
      "authzCertDir",
      "connectTo",
      "serviceCa",
      "allowOrigins",
      "allowPrivateAddresses",
    ],
    defaults: { listen: "127.0.0.1:9090" },
  },
  "tunnel-server": {
    uses: ["port", "target", "certDir", "reloadCerts", "sessionTicketKey", "relay"],
  },
  gateway: GATEWAY,
  "gateway-push": { ...GATEWAY, uses: [...GATEWAY.uses, "tokenHeader"] },
};

/**
 * Reads NAME and its flags, and the environment where a flag has a variable. Throws a UsageError
 * that lists every error.
 */
export function parseEnvoyFlags(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): {
  readonly name: EnvoyConfigName;
  readonly options: EnvoyFlags;
} {
  const name = firstPositional(envoySettings, argv) ?? "";
  const known = isEnvoyConfigName(name);
  const names = `one of ${envoyConfigNames.join(", ")}`;
  const faults = known || name === "" ? [] : [`NAME ${JSON.stringify(name)}: must be ${names}`];
  try {
    const settings = known ? settingsOf(name) : envoySettings;
    const { values } = parseSettings(settings, argv, env, [`NAME (${names})`]);
    if (known) return { name, options: withAudience(values) };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    faults.push(error.message);
  }
  throw new UsageError(faults);
}

/** Puts the service's URL in place of `service-url`. */
function withAudience(options: EnvoyFlags): EnvoyFlags {
  const { audience, service } = options;
  if (audience !== "service-url" || service === undefined) return options;
  return { ...options, audience: canonicalAudience(urlOf(service)) };
}

/** Says that the audience lacks the traffic tag of the service's URL; undefined if it has none. */
export function noteTrafficTag({ service, audience }: EnvoyFlags): string | undefined {
  if (service === undefined || audience !== canonicalAudience(urlOf(service))) return undefined;
  if (audience === urlOf(service)) return undefined;
  return `the audience is ${audience}: Cloud Run accepts tokens for the service's own URL, without the traffic tag`;
}

/**
 * The settings of one config: flags that it does not use are refused, flags that it needs are
 * required, and its own defaults apply.
 */
export function settingsOf(name: EnvoyConfigName): {
  readonly [K in Key]: Setting<EnvoyFlags[K]>;
} {
  const { uses, needs = [], defaults = {} } = CONFIGS[name];
  const entries = (Object.keys(envoySettings) as Key[]).map((key) => {
    const setting = envoySettings[key];
    const byDefault = defaults[key];
    if (!FLAGS_OF_ALL.has(key) && !uses.includes(key)) {
      return [key, refused(setting, `${name} does not use this flag`)];
    }
    const read = (texts: readonly string[]) => {
      if (texts.length === 0 && needs.includes(key)) throw new Error("must be given");
      return setting.read(texts.length === 0 && byDefault !== undefined ? [byDefault] : texts);
    };
    return [key, { ...setting, read }];
  });
  return Object.fromEntries(entries) as { readonly [K in Key]: Setting<EnvoyFlags[K]> };
}

function parseServiceUrl(text: string): TcpAddress {
  const [, host = "", port = "443"] = /^https:\/\/([^:/]*)(?::(\d+))?\/?$/i.exec(text) ?? [];
  if (!isHostname(host) || isIP(host) !== 0) {
    throw new Error("must be https://HOST or https://HOST:PORT, without a path");
  }
  return { kind: "tcp", host: host.toLowerCase(), port: parsePort(port) };
}

/** A web origin as browsers send it (RFC 6454, section 6.1); `none` stands for no origin. */
function parseOrigin(text: string): readonly string[] {
  if (text === "none") return [];
  const url = URL.parse(text);
  const isOrigin =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.href === `${url.origin}/` &&
    isHostname(url.hostname.replace(/^\[|\]$/g, ""));
  if (!isOrigin) throw new Error("must be a web origin, as in https://app.example.com");
  return [url.origin];
}

/** An auth server over TLS is known by its host name. */
function parseAuthServer(text: string): AuthServerAddress {
  if (!text.startsWith("https://")) return parseAddress(text, 1);
  const { host, port } = parseServiceUrl(text);
  return { kind: "https", host, port };
}

/** Envoy does not resolve names to listen on. */
function parseListen(text: string): TcpAddress {
  const address = parseTcpAddress(text);
  if (address.host.toLowerCase() === "localhost") return { ...address, host: "127.0.0.1" };
  if (isIP(address.host) === 0) throw new Error("must have an IP address for a host");
  return address;
}

function parseRemote(text: string): TcpAddress {
  return parseTcpAddress(text, 1);
}

function parseStreamsPerTunnel(text: string): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > 100) throw new Error("must be a whole number from 1 to 100");
  return count;
}

/** Absolute, because Envoy may be started in another folder. */
function parsePath(text: string): string {
  if (text === "") throw new Error("must be a path");
  return resolve(text);
}

function findSystemBundle(): string {
  const bundle = SYSTEM_BUNDLES.find((path) => existsSync(path));
  if (bundle === undefined) {
    throw new Error(`must be given, as this system has none of ${SYSTEM_BUNDLES.join(", ")}`);
  }
  return bundle;
}
