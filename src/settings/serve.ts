import { isLoopback, parseAddress, type Address } from "../system/address.ts";
import { parseAudience, parseAudiencePattern } from "../access/audience.ts";
import { TOKEN_HEADERS } from "../access/token-header.ts";
import { parseImpersonation } from "../credentials/impersonation.ts";
import { UsageError } from "../system/errors.ts";
import { LOG_LEVELS, type LogLevel } from "../telemetry/logger.ts";
import { parsePath } from "./paths.ts";
import { sharedSettings, toSharedConfig, type SharedConfig } from "./shared.ts";
import { many, one, optional, parseSettings, toggle, type Values } from "./table.ts";
import { duration, oneOf, parseFraction, wholeNumber } from "./values.ts";

/** The settings of `serve`. Parsing, `--help` and the documentation all come from here. */
export const serveSettings = {
  listen: one(
    {
      flag: "listen",
      env: "LISTEN",
      placeholder: "HOST:PORT",
      default: "127.0.0.1:8080",
      help: "Address for checks, pushes, health and metrics; or unix:/path.sock, a socket for its owner and group. Anyone who can reach it gets tokens: keep it on loopback.",
    },
    parseAddress,
  ),
  adminListen: optional(
    {
      flag: "admin-listen",
      env: "ADMIN_LISTEN",
      placeholder: "HOST:PORT",
      help: "Second address that serves health and metrics but no tokens, for scrapers and probes.",
    },
    parseAddress,
  ),
  credentials: optional(
    {
      flag: "credentials",
      env: "GOOGLE_APPLICATION_CREDENTIALS",
      placeholder: "FILE",
      defaultNote: "Application Default Credentials",
      help: "Path of the credential (JSON): a service account's key, workload identity federation, impersonation or a user's. Without it: gcloud's well-known file, then the metadata server.",
    },
    parsePath,
  ),
  impersonate: optional(
    {
      flag: "impersonate",
      env: "IMPERSONATE",
      placeholder: "ACCOUNT[,DELEGATE…]",
      help: "Service account to mint tokens for; the credential must be allowed to impersonate it. Delegates are the accounts in between, in order.",
    },
    parseImpersonation,
  ),
  audiences: many(
    {
      flag: "audience",
      env: "AUDIENCE",
      placeholder: "AUDIENCE",
      help: "Default audience, usually the service's URL. Repeat it, or separate with commas, for more: the first is the default, and the tokens of all are renewed ahead of expiry. In a URL, upper case in the host, the default port, a final slash and a traffic tag (TAG---) are ignored.",
    },
    parseAudience,
  ),
  allowAudiences: many(
    {
      flag: "allow-audience",
      env: "ALLOW_AUDIENCE",
      placeholder: "PATTERN",
      defaultNote: "the audiences above",
      help: "Further audiences that a check or a push may name: exact, or with * as in https://*.run.app. Repeat it, or separate with commas.",
    },
    parseAudiencePattern,
  ),
  audienceFromHost: toggle({
    flag: "audience-from-host",
    env: "AUDIENCE_FROM_HOST",
    default: "off",
    help: "If a check names no audience and there is no default, use https:// and its Host, without port and traffic tag, if that is allowed.",
  }),
  tokenHeader: one(
    {
      flag: "token-header",
      env: "TOKEN_HEADER",
      placeholder: "NAME",
      default: "authorization",
      help: "Header that carries the token: authorization, x-serverless-authorization (leaves the application's own Authorization unchanged) or proxy-authorization (IAP).",
    },
    oneOf(TOKEN_HEADERS),
  ),
  refreshAt: one(
    {
      flag: "refresh-at",
      env: "REFRESH_AT",
      placeholder: "FRACTION",
      default: "0.75",
      help: "Fraction of a token's life after which it is renewed in the background, ±10 %. A pushed token is renewed at the latest 10 minutes before it expires, or at half its life if that is later.",
    },
    parseFraction,
  ),
  mintTimeoutMs: one(
    {
      flag: "mint-timeout",
      env: "MINT_TIMEOUT",
      placeholder: "TIME",
      default: "5s",
      help: "Longest time that a check waits for a token.",
    },
    duration(100, 60_000),
  ),
  maxAudiences: one(
    {
      flag: "max-audiences",
      env: "MAX_AUDIENCES",
      placeholder: "N",
      default: "1000",
      help: "How many audiences to cache beside the configured ones; the least recently used are dropped.",
    },
    wholeNumber(1, 100_000),
  ),
  checkSecretFile: optional(
    {
      flag: "check-secret-file",
      env: "CHECK_SECRET_FILE",
      placeholder: "FILE",
      help: "File with a secret that every check and push must carry in x-authz-secret. The shipped Envoy configs send CHECK_SECRET from Envoy's environment.",
    },
    parsePath,
  ),
  logLevel: one(
    {
      flag: "log-level",
      env: "LOG_LEVEL",
      placeholder: "LEVEL",
      default: "info",
      help: `One of ${LOG_LEVELS.join(", ")}. Each line on standard output is a JSON object.`,
    },
    oneOf<LogLevel>(LOG_LEVELS),
  ),
  drainTimeoutMs: one(
    {
      flag: "drain-timeout",
      env: "DRAIN_TIMEOUT",
      placeholder: "TIME",
      default: "10s",
      help: "Longest wait for open requests after SIGTERM or SIGINT.",
    },
    duration(0, 600_000),
  ),
};

export interface Config extends Values<typeof serveSettings> {
  /** For a server that other machines share. */
  readonly shared?: SharedConfig | undefined;
}

/** All settings of `serve`. */
export const allServeSettings = { ...serveSettings, ...sharedSettings };

/** Reads the configuration of `serve`. Throws a UsageError that lists every error. */
export function parseConfig(argv: readonly string[], env: NodeJS.ProcessEnv): Config {
  const { values } = parseSettings(allServeSettings, argv, env);
  const { tlsCert, tlsKey, clientCa, allowClients, policy, ...own } = values;
  const faults: string[] = [];
  const shared = toSharedConfig(
    { tlsCert, tlsKey, clientCa, allowClients, policy },
    (message) => void faults.push(message),
  );
  if (policy !== undefined && own.allowAudiences.length > 0) {
    faults.push("--allow-audience: not with --policy, which says what each caller may have");
  }
  if (faults.length > 0) throw new UsageError(faults);
  return { ...own, shared };
}

/** Whether processes on other machines can reach the address. */
export function isExposed(address: Address): boolean {
  return address.kind === "tcp" && !isLoopback(address.host);
}
