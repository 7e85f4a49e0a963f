import { canonicalAudience } from "../access/audience.ts";
import { duration, serveSettings } from "../settings/serve.ts";
import { urlOf } from "../envoy/values.ts";
import { proxyEnvironment } from "../credentials/metadata-server.ts";
import {
  createChecklist,
  formatJson,
  formatResult,
  hasPassed,
  type Checklist,
} from "../doctor/checklist.ts";
import { checkClock } from "../doctor/clock-check.ts";
import { checkFile, checkKey } from "../doctor/credential-checks.ts";
import { checkEndpoint } from "../doctor/endpoint-checks.ts";
import { checkMint, type Minted } from "../doctor/mint-check.ts";
import { checkService } from "../doctor/service-check.ts";
import { useProxies } from "../system/proxy.ts";
import { formatHelp, one, parseSettings, toggle, type Values } from "../settings/table.ts";
import { envoySettings } from "../settings/envoy.ts";

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

/** The output of `doctor --help`. */
export const doctorHelp = () =>
  formatHelp(
    "Usage: idtoken-authz doctor [flags]\n\n" +
      "Checks the credential file, its key, the connection to the token endpoint, the clock, one mint\n" +
      "and, with --service-url, a call of the service, and prints one line for each.\n" +
      "✓ passed, ! warning, ✗ failed, - not checked. The exit code is 0 if nothing failed.",
    doctorSettings,
  );

/**
 * Runs and reports every check. Resolves with the exit code: 0 if none failed, else 1. Throws a
 * UsageError that lists every error before any check runs.
 */
export async function doctorCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  io: { readonly stdout: (text: string) => void; readonly stderr: (text: string) => void },
): Promise<number> {
  const options = parseDoctorFlags(argv, env);
  const report = options.printToken ? io.stderr : io.stdout;
  const checklist = createChecklist((result) => {
    if (!options.json) report(`${formatResult(result)}\n`);
  });
  const minted = await runChecks(options, env, checklist);
  if (options.json) report(`${formatJson(checklist.results)}\n`);
  if (options.printToken && minted !== undefined) io.stdout(`${minted.token}\n`);
  return hasPassed(checklist.results) ? 0 : 1;
}

/** Parses the flags. Throws a UsageError that lists every error. */
export function parseDoctorFlags(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): DoctorOptions & { readonly audience: string } {
  let defaultAudience: string | undefined;
  const settings = {
    ...doctorSettings,
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

async function runChecks(
  options: ReturnType<typeof parseDoctorFlags>,
  env: NodeJS.ProcessEnv,
  checklist: Checklist,
): Promise<Minted | undefined> {
  const { check } = checklist;
  const { service, audience, timeoutMs } = options;
  const file = await check("file", options, (given) => checkFile(given, env));
  const credential = await check("key", file, checkKey);
  const connection = await checkEndpoint(
    credential?.endpoint,
    proxyEnvironment(env),
    timeoutMs,
    checklist,
  );
  await check("clock", connection, (open) => checkClock(open, timeoutMs));
  // A wrong clock does not prevent the mint; an unreachable endpoint does.
  const minted = await check("mint", connection && credential, (verified) => {
    useProxies(proxyEnvironment(env));
    return checkMint(verified, audience, timeoutMs);
  });
  if (service !== undefined) {
    await check("service", minted, (token) => checkService({ ...options, service }, token));
  }
  return minted;
}
