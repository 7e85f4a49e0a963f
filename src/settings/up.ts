import { canonicalAudience } from "../access/audience.ts";
import { envoyConfigNames, type EnvoyConfigName } from "../envoy/configs.ts";
import { urlOf } from "../envoy/values.ts";
import type { LogLevel } from "../telemetry/logger.ts";
import type { TcpAddress } from "../system/address.ts";
import { UsageError } from "../system/errors.ts";
import { envoySettings } from "./envoy-table.ts";
import { isUsed, settingsOf, type EnvoyFlags } from "./envoy.ts";
import { parsePath } from "./paths.ts";
import { serveSettings, type Config } from "./serve.ts";
import { firstPositional, optional, parseSettings, toggle, type Setting } from "./table.ts";

/** The configs that `up` runs: those of the client's end. */
export const upConfigNames = envoyConfigNames.filter((name) => name !== "tunnel-server");

/** What `up` runs. */
export interface UpOptions {
  readonly name: EnvoyConfigName;
  /** The values of Envoy's config, without the auth server's address. */
  readonly envoy: EnvoyFlags & { readonly listen: TcpAddress };
  /** The auth server's settings, without its address. */
  readonly server: Omit<Config, "listen">;
  /** The Envoy that was named. */
  readonly binary: string | undefined;
  /** Whether to mint a token and call the service before all counts as ready. */
  readonly probe: boolean;
}

/** The flags that neither `serve` nor `envoy` has. */
export const upOwnSettings = {
  binary: optional(
    {
      flag: "envoy",
      env: "ENVOY_BIN",
      placeholder: "FILE",
      defaultNote: "one on the PATH that is new enough, or a download",
      help: "Path of Envoy's executable, release 1.36 or newer.",
    },
    parsePath,
  ),
  noProbe: toggle({
    flag: "no-probe",
    default: "off",
    help: "Reports that it is ready without having minted a token and called the service.",
  }),
};

/** Without the auth server's address, and with its audience for Envoy's, too. */
const { listen: _listen, logLevel, checkSecretFile, ...asInServe } = serveSettings;
const serverSettings = {
  ...asInServe,
  checkSecretFile: {
    ...checkSecretFile,
    help: "File with a secret that Envoy sends with every check and push in x-authz-secret. It is read once.",
  },
};

/** A person at a terminal sees the steps, and of the log only what goes wrong. */
function logLevelSetting(isTerminal: boolean): Setting<LogLevel> {
  const { default: _default, ...words } = logLevel;
  return {
    ...words,
    defaultNote: "info, or warn on a terminal",
    read: (texts) => (texts.length === 0 ? (isTerminal ? "warn" : "info") : logLevel.read(texts)),
  };
}

/** Every setting of `up` with one config, or with any of them for `--help`. */
function upSettings(isTerminal: boolean, name?: EnvoyConfigName) {
  const {
    authz: _authz,
    authzCertDir: _authzCertDir,
    audience: _audience,
    output: _output,
    envoyVersion: _version,
    port: _port,
    target: _target,
    relay: _relay,
    reloadCerts: _reloadCerts,
    sessionTicketKey: _sessionTicketKey,
    ...ofEnvoy
  } = name === undefined ? envoySettings : settingsOf(name);
  return { ...ofEnvoy, ...upOwnSettings, ...serverSettings, logLevel: logLevelSetting(isTerminal) };
}

/** The flags of `up` with the config that is named, or with any, as `--help` lists them. */
export function upSettingsForHelp(argv: readonly string[]): Record<string, Setting<unknown>> {
  const name = upConfigNamed(argv);
  const isOfEnvoy = (key: string) => key in envoySettings && !(key in serverSettings);
  const all = Object.entries(upSettings(false, name));
  return Object.fromEntries(all.filter(([key]) => !isOfEnvoy(key) || isUsed(name, key)));
}

/** The config that is named, if `up` runs it. */
function upConfigNamed(argv: readonly string[]): EnvoyConfigName | undefined {
  const given = firstPositional(upSettings(false), argv);
  return upConfigNames.find((each) => each === given);
}

/**
 * Reads NAME, the flags and the environment. The service's URL is the default audience. Throws a
 * UsageError that lists every fault.
 */
export function parseUpFlags(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  isTerminal: boolean,
): UpOptions {
  const given = firstPositional(upSettings(isTerminal), argv);
  const name = upConfigNamed(argv);
  const names = `one of ${upConfigNames.join(", ")}`;
  const faults =
    name !== undefined || given === undefined
      ? []
      : [`NAME ${JSON.stringify(given)}: must be ${names}`];
  try {
    const settings = upSettings(isTerminal, name);
    const { values } = parseSettings(settings, argv, env, [`NAME (${names})`]);
    if (name !== undefined) return toOptions(name, values as UpValues);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    faults.push(error.message);
  }
  throw new UsageError(faults);
}

/** Every client config listens. */
type UpValues = EnvoyFlags & { readonly listen: TcpAddress } & Omit<Config, "listen"> & {
    readonly binary: string | undefined;
    readonly noProbe: boolean;
  };

function toOptions(name: EnvoyConfigName, values: UpValues): UpOptions {
  const { binary, noProbe, audiences: given, ...others } = values;
  const { service } = others;
  const ownUrl = service === undefined ? [] : [canonicalAudience(urlOf(service))];
  const audiences = given.length > 0 ? given : ownUrl;
  if (audiences.length + others.allowAudiences.length === 0) {
    throw new UsageError([
      "--allow-audience: must be given: the services to call, as in https://*.run.app",
    ]);
  }
  return {
    name,
    envoy: { ...others, audience: audiences[0] },
    server: { ...others, audiences },
    binary,
    probe: !noProbe,
  };
}
