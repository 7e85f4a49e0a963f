import { proxyEnvironment } from "../credentials/metadata-server.ts";
import {
  createChecklist,
  formatJson,
  formatResult,
  hasPassed,
  type Checklist,
} from "../doctor/checklist.ts";
import { checkAuthServer } from "../doctor/authz-checks.ts";
import { checkClock } from "../doctor/clock-check.ts";
import { checkFile, checkKey } from "../doctor/credential-checks.ts";
import { checkEndpoint } from "../doctor/endpoint-checks.ts";
import { checkMint, type Minted } from "../doctor/mint-check.ts";
import { checkService } from "../doctor/service-check.ts";
import { useProxies } from "../system/proxy.ts";
import { doctorSettings, parseDoctorFlags } from "../settings/doctor.ts";
import { formatHelp } from "../settings/table.ts";

/** The output of `doctor --help`. */
export const doctorHelp = () =>
  formatHelp(
    "Usage: idtoken-authz doctor [flags]\n\n" +
      "Checks the credential file, its key, the connection to the token endpoint, the clock, one mint\n" +
      "and, with --service-url, a call of the service, and prints one line for each. With --authz it\n" +
      "checks the way to a running auth server and a token from there instead.\n" +
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

async function runChecks(
  options: ReturnType<typeof parseDoctorFlags>,
  env: NodeJS.ProcessEnv,
  checklist: Checklist,
): Promise<Minted | undefined> {
  const { service, authz, audience } = options;
  const named = audience === "" ? undefined : audience;
  const minted =
    authz === undefined
      ? await mintOne(options, env, checklist)
      : await checkAuthServer({ ...options, authz, audience: named }, checklist);
  if (service !== undefined) {
    const run = (token: Minted) => checkService({ ...options, service }, token);
    await checklist.check("service", minted, run);
  }
  return minted;
}

async function mintOne(
  options: ReturnType<typeof parseDoctorFlags>,
  env: NodeJS.ProcessEnv,
  checklist: Checklist,
): Promise<Minted | undefined> {
  const { check } = checklist;
  const { audience, timeoutMs } = options;
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
  return check("mint", connection && credential, (verified) => {
    useProxies(proxyEnvironment(env));
    return checkMint(verified, audience, timeoutMs);
  });
}
