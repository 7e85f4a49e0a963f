import { canonicalAudience } from "../access/audience.ts";
import { urlOf } from "../envoy/values.ts";
import { envoySettings } from "./envoy-table.ts";
import { serveSettings } from "./serve.ts";
import {
  one,
  optional,
  parseSettings,
  refused,
  toggle,
  type Setting,
  type Values,
} from "./table.ts";
import { duration } from "./values.ts";

/** The settings of `doctor`. Parsing, `--help` and the documentation all come from here. */
export const doctorSettings = {
  credentials: serveSettings.credentials,
  impersonate: serveSettings.impersonate,
  service: {
    ...envoySettings.service,
    help: "The Cloud Run service to call, as in https://tunnel-abc123-ew.a.run.app.",
  },
  audiences: {
    ...serveSettings.audiences,
    defaultNote: "the service's URL",
    help: "Audience of the token. Of several, the first counts, which is the default of serve.",
  },
  connectTo: envoySettings.connectTo,
  serviceCa: {
    flag: "service-ca",
    placeholder: "FILE",
    defaultNote: "the CAs that Node trusts",
    help: envoySettings.serviceCa.help,
    read: (texts: readonly string[]) => texts.at(-1),
  },
  authz: optional(
    {
      flag: "authz",
      placeholder: "URL",
      help: "A running auth server to get a token from, instead of minting one: https://HOST:PORT, HOST:PORT without TLS, or unix:PATH.",
    },
    (text) => envoySettings.authz.read([text.replace(/^http:\/\/([^/]*)\/?$/, "$1")]),
  ),
  authzCertDir: envoySettings.authzCertDir,
  checkSecretFile: {
    ...serveSettings.checkSecretFile,
    help: "File with the secret that the auth server wants, with --authz.",
  },
  timeoutMs: one(
    {
      flag: "timeout",
      placeholder: "TIME",
      default: "5s",
      help: "Longest wait for an answer in one step.",
    },
    duration(100, 60_000),
  ),
  json: toggle({
    flag: "json",
    default: "off",
    help: "Prints the report as one JSON document, at the end.",
  }),
  printToken: toggle({
    flag: "print-token",
    default: "off",
    help: "Prints the token on standard output; the report goes to standard error.",
  }),
};

type DoctorOptions = Values<typeof doctorSettings>;

/** The flags that the other way to a token uses. */
function unusedFlags(isAuthz: boolean): Partial<typeof doctorSettings> {
  const { credentials, impersonate, printToken, authzCertDir, checkSecretFile } = doctorSettings;
  if (!isAuthz) {
    const rule = "needs --authz";
    return {
      authzCertDir: unused(authzCertDir, rule),
      checkSecretFile: unused(checkSecretFile, rule),
    };
  }
  const rule = "has no effect with --authz: the auth server mints the token";
  return {
    credentials: unused(credentials, rule),
    impersonate: unused(impersonate, rule),
    printToken: unused(printToken, "cannot be given with --authz"),
  };
}

/** A setting whose flag is refused, with its default for a value. */
function unused<T>(setting: Setting<T>, rule: string): Setting<T> {
  const words = refused(setting, rule);
  const read = (texts: readonly string[]) => {
    words.read(texts);
    return setting.read([]);
  };
  return { ...words, read };
}

/**
 * Parses the flags. Throws a UsageError that lists every error. The audience is empty if none is
 * named, as is possible with `--authz`.
 */
export function parseDoctorFlags(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): DoctorOptions & { readonly audience: string } {
  const isAuthz = argv.some((arg) => /^--authz(?:=|$)/.test(arg));
  let defaultAudience: string | undefined;
  const settings = {
    ...doctorSettings,
    ...unusedFlags(isAuthz),
    service: {
      ...doctorSettings.service,
      read: (texts: readonly string[]) => {
        // A wrong URL is one error, not also a missing audience.
        defaultAudience = texts.at(-1);
        const service = doctorSettings.service.read(texts);
        if (service !== undefined) defaultAudience = canonicalAudience(urlOf(service));
        return service;
      },
    },
    // Parsed after the service's URL, which is the default.
    audiences: {
      ...doctorSettings.audiences,
      read: (texts: readonly string[]) => {
        if (texts.length > 0) return doctorSettings.audiences.read(texts);
        if (defaultAudience === undefined) {
          if (isAuthz) return [];
          throw new Error("must be given, or --service-url, whose URL is the default");
        }
        return [defaultAudience];
      },
    },
  };
  const { values } = parseSettings(settings, argv, env);
  const [audience = ""] = values.audiences;
  return { ...values, audience };
}
