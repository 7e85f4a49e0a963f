import { canonicalAudience } from "../access/audience.ts";
import { envoyConfigNames, isEnvoyConfigName, type EnvoyConfigName } from "../envoy/configs.ts";
import { urlOf } from "../envoy/values.ts";
import { formatAddress, isLoopback, type TcpAddress } from "../system/address.ts";
import { UsageError } from "../system/errors.ts";
import { envoySettings } from "./envoy-table.ts";
import { firstPositional, parseSettings, refused, type Setting, type Values } from "./table.ts";

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

/** The flags of the config that is named, or of all of them, as `--help` lists them. */
export function envoySettingsForHelp(name: string | undefined): Record<string, Setting<unknown>> {
  if (name === undefined || !isEnvoyConfigName(name)) return envoySettings;
  const used = Object.entries(settingsOf(name)).filter(([key]) => isUsed(name, key));
  return Object.fromEntries(used);
}

/** Whether a config uses a flag; undefined stands for any of the configs. */
export function isUsed(name: EnvoyConfigName | undefined, key: string): boolean {
  const uses = name === undefined ? Object.keys(envoySettings) : CONFIGS[name].uses;
  return [...FLAGS_OF_ALL, ...uses].some((each) => each === key);
}

/** Puts the service's URL in place of `service-url`. */
function withAudience(options: EnvoyFlags): EnvoyFlags {
  const { audience, service } = options;
  if (audience !== "service-url" || service === undefined) return options;
  return { ...options, audience: canonicalAudience(urlOf(service)) };
}

/** What a person should know about flags that are right, but may not be meant. */
export function notesOn(flags: EnvoyFlags): readonly string[] {
  const { listen, admin } = flags;
  return [
    noteTrafficTag(flags),
    noteExposure("--listen", listen, "use the service"),
    noteExposure("--admin", admin, "read Envoy's configuration and stop it"),
  ].filter((note) => note !== undefined);
}

function noteExposure(
  flag: string,
  address: TcpAddress | "none" | undefined,
  power: string,
): string | undefined {
  if (address === undefined || address === "none" || isLoopback(address.host)) return undefined;
  return `${flag} ${formatAddress(address)} is not a loopback address: anyone who can reach it can ${power}`;
}

/** Says that the audience lacks the traffic tag of the service's URL; undefined if it has none. */
function noteTrafficTag({ service, audience }: EnvoyFlags): string | undefined {
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
  const { needs = [], defaults = {} } = CONFIGS[name];
  const entries = (Object.keys(envoySettings) as Key[]).map((key) => {
    const setting = envoySettings[key];
    const byDefault = defaults[key];
    if (!isUsed(name, key)) {
      return [key, refused(setting, `${name} does not use this flag`)];
    }
    const read = (texts: readonly string[]) => {
      if (texts.length === 0 && needs.includes(key)) throw new Error("must be given");
      return setting.read(texts.length === 0 && byDefault !== undefined ? [byDefault] : texts);
    };
    return [key, { ...setting, ...(byDefault !== undefined && { default: byDefault }), read }];
  });
  return Object.fromEntries(entries) as { readonly [K in Key]: Setting<EnvoyFlags[K]> };
}
