import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import {
  isHostname,
  parseAddress,
  parsePort,
  parseTcpAddress,
  type Address,
  type TcpAddress,
} from "../system/address.ts";
import { parseAudience } from "../access/audience.ts";
import { envoyVariables, renderEnvoyConfig } from "../envoy/compose.ts";
import { StartError, UsageError } from "../system/errors.ts";
import {
  formatHelp,
  one,
  optional,
  parseSettings,
  type Setting,
  type Values,
} from "../settings/table.ts";

/** The templates' texts by name, in the bundled program only. */
declare const ENVOY_TEMPLATES: Readonly<Record<string, string>> | undefined;

/** Where Linux distributions, BSDs and macOS keep the certificates they trust. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** The flags of every config; each config takes those that its entry in `CONFIGS` names. */
export const envoySettings = {
  service: optional(
    {
      flag: "service-url",
      placeholder: "URL",
      help: "The Cloud Run service, as in https://tunnel-abc123-ew.a.run.app.",
    },
    parseServiceUrl,
  ),
  audience: one(
    {
      flag: "audience",
      placeholder: "AUDIENCE",
      default: "service-url",
      help: "What the service's tokens are for, which the auth server must allow. A service that is reached by a domain of its own wants its run.app URL here.",
    },
    parseServiceAudience,
  ),
  listen: one(
    {
      flag: "listen",
      placeholder: "HOST:PORT",
      default: "127.0.0.1:7777",
      help: "Where connections come in; by default 127.0.0.1:9090 for a gateway. Whoever reaches it reaches the service: keep it on loopback.",
    },
    parseListen,
  ),
  authz: one(
    {
      flag: "authz",
      placeholder: "HOST:PORT|unix:PATH",
      default: "127.0.0.1:8080",
      help: "Where the auth server listens.",
    },
    parseAuthz,
  ),
  admin: one(
    {
      flag: "admin",
      placeholder: "HOST:PORT",
      default: "none",
      help: "Where Envoy serves its admin endpoint, which can stop it: keep it on loopback.",
    },
    (text) => (text === "none" ? text : parseListen(text)),
  ),
  certDir: one(
    {
      flag: "cert-dir",
      placeholder: "DIR",
      default: "certs",
      help: "Folder of ca.crt and, by end of the tunnel, client.crt and client.key or server.crt and server.key.",
    },
    parsePath,
  ),
  connectTo: optional(
    {
      flag: "connect-to",
      placeholder: "HOST:PORT",
      defaultNote: "the service's own",
      help: "Where to reach the service instead, for tests and private networks. Its certificate must still be for the service's host.",
    },
    parseRemote,
  ),
  serviceCa: {
    flag: "service-ca",
    placeholder: "FILE",
    defaultNote: "the system's bundle",
    help: "Certificates (PEM) that vouch for the service.",
    read: (texts: readonly string[]) => parsePath(texts.at(-1) ?? findSystemBundle()),
  },
  port: one(
    {
      flag: "port",
      placeholder: "N",
      default: "8080",
      help: "Port of the tunnel server, on every address of its container.",
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
  output: optional(
    {
      flag: "output",
      placeholder: "FILE",
      defaultNote: "standard output",
      help: "File to write the config to, for a container without a shell.",
    },
    parsePath,
  ),
};

type Key = keyof typeof envoySettings;

/** Each config by NAME: the flags that it takes, those that must be given, and its own defaults. */
const CONFIGS: Readonly<
  Record<
    string,
    {
      readonly uses: readonly Key[];
      readonly needs: readonly Key[];
      readonly defaults?: { readonly [K in Key]?: string };
    }
  >
> = {
  "tunnel-client": {
    uses: ["service", "listen", "authz", "admin", "certDir", "connectTo", "serviceCa"],
    needs: ["service"],
  },
  "tunnel-client-push": {
    uses: ["service", "listen", "authz", "admin", "certDir", "connectTo", "serviceCa"],
    needs: ["service"],
  },
  "tunnel-client-public": {
    uses: ["service", "listen", "admin", "certDir", "connectTo", "serviceCa"],
    needs: ["service"],
  },
  "tunnel-server": { uses: ["port", "target", "admin", "certDir"], needs: [] },
  gateway: {
    uses: ["service", "audience", "listen", "authz", "admin", "connectTo", "serviceCa"],
    needs: ["service"],
    defaults: { listen: "127.0.0.1:9090" },
  },
  "gateway-push": {
    uses: ["service", "audience", "listen", "authz", "admin", "connectTo", "serviceCa"],
    needs: ["service"],
    defaults: { listen: "127.0.0.1:9090" },
  },
};

/** The names of the configs, as `envoy NAME` takes them. */
export const envoyConfigNames: readonly string[] = Object.keys(CONFIGS);

/** What `envoy --help` prints. */
export const envoyHelp = () =>
  formatHelp(
    "Usage: idtoken-authz envoy NAME [flags]\n\n" +
      `Prints one finished Envoy config. NAME is one of\n  ${envoyConfigNames.join("\n  ")}\n` +
      "A flag that the config has no use for is refused.",
    envoySettings,
  );

/**
 * Prints one finished Envoy config, or writes it to a file. Resolves with the exit code 0. Throws a
 * UsageError that lists every fault, before anything is printed, or a StartError when it cannot
 * write.
 */
export async function envoyCommand(
  argv: readonly string[],
  io: { readonly stdout: (text: string) => void },
): Promise<number> {
  const { name, options } = parseEnvoyFlags(argv);
  const config = renderEnvoyConfig(await readTemplate(name), envoyVariables(options));
  if (options.output === undefined) io.stdout(config);
  else await writeConfig(options.output, config);
  return 0;
}

async function writeConfig(path: string, config: string): Promise<void> {
  try {
    await writeFile(path, config);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StartError(`nothing written: ${reason}`, { cause });
  }
}

async function readTemplate(name: string): Promise<string> {
  const bundled = typeof ENVOY_TEMPLATES === "undefined" ? undefined : ENVOY_TEMPLATES[name];
  return bundled ?? readFile(join(import.meta.dirname, `../../envoy/${name}.yaml`), "utf8");
}

type Options = { readonly [K in Key]: Values<typeof envoySettings>[K] | undefined };

/** Reads NAME and the flags that it takes. Throws a UsageError that lists every fault. */
export function parseEnvoyFlags(argv: readonly string[]): {
  readonly name: string;
  readonly options: Options;
} {
  const name = findName(argv) ?? "";
  const known = Object.hasOwn(CONFIGS, name);
  const names = `one of ${envoyConfigNames.join(", ")}`;
  const faults = known || name === "" ? [] : [`NAME ${JSON.stringify(name)}: must be ${names}`];
  try {
    const settings = known ? settingsOf(name) : envoySettings;
    const { values } = parseSettings(settings, argv, {}, [`NAME (${names})`]);
    if (known) return { name, options: values };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    faults.push(error.message);
  }
  throw new UsageError(faults);
}

/** The first argument that is neither a flag nor a flag's value. */
function findName(argv: readonly string[]): string | undefined {
  const flags = Object.values(envoySettings).map(({ flag }) => [flag, { type: "string" }] as const);
  const options = Object.fromEntries(flags);
  const { positionals } = parseArgs({ args: [...argv], options, strict: false });
  return positionals[0];
}

/** The settings as one config takes them: some must be given, some must not. */
function settingsOf(name: string): { readonly [K in Key]: Setting<Options[K]> } {
  const { uses = [], needs = [], defaults = {} } = CONFIGS[name] ?? {};
  const entries = Object.entries(envoySettings).map(([key, setting]) => {
    const byDefault = defaults[key as Key];
    const read = (texts: readonly string[]) => {
      if (key === "output" || uses.includes(key as Key)) {
        if (texts.length === 0 && needs.includes(key as Key)) throw new Error("must be given");
        return setting.read(texts.length === 0 && byDefault !== undefined ? [byDefault] : texts);
      }
      if (texts.length > 0) throw new Error(`${name} has no use for it`);
      return undefined;
    };
    return [key, { ...setting, read }];
  });
  return Object.fromEntries(entries) as { readonly [K in Key]: Setting<Options[K]> };
}

function parseServiceUrl(text: string): TcpAddress {
  const [, host = "", port = "443"] = /^https:\/\/([^:/]*)(?::(\d+))?\/?$/i.exec(text) ?? [];
  if (!isHostname(host) || isIP(host) !== 0) {
    throw new Error("must be https://HOST or https://HOST:PORT and nothing more");
  }
  return { kind: "tcp", host: host.toLowerCase(), port: parsePort(port) };
}

function parseServiceAudience(text: string): string {
  const audience = parseAudience(text);
  refuseUnquotable(audience);
  return audience;
}

/** Envoy resolves no name that it listens on. */
function parseListen(text: string): TcpAddress {
  const address = parseTcpAddress(text);
  if (address.host.toLowerCase() === "localhost") return { ...address, host: "127.0.0.1" };
  if (isIP(address.host) === 0) throw new Error("must have an IP address for a host");
  return address;
}

function parseRemote(text: string): TcpAddress {
  return parseTcpAddress(text, 1);
}

function parseAuthz(text: string): Address {
  const address = parseAddress(text, 1);
  if (address.kind === "unix") refuseUnquotable(address.path);
  return address;
}

/** Absolute, as Envoy may be started elsewhere. */
function parsePath(text: string): string {
  if (text === "") throw new Error("must be a path");
  const path = resolve(text);
  refuseUnquotable(path);
  return path;
}

/** The templates put such texts between double quotes, in YAML that envsubst can fill as well. */
function refuseUnquotable(text: string): void {
  if (/["'\\$\p{Cc}\u2028\u2029]/u.test(text)) {
    throw new Error("must be without quotes, backslashes, $ and control characters");
  }
}

function findSystemBundle(): string {
  const bundle = SYSTEM_BUNDLES.find((path) => existsSync(path));
  if (bundle === undefined) {
    throw new Error(`must be given, as this system has none of ${SYSTEM_BUNDLES.join(", ")}`);
  }
  return bundle;
}
