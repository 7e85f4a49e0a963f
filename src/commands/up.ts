import { setTimeout as sleep } from "node:timers/promises";
import { proxyEnvironment } from "../credentials/metadata-server.ts";
import { formatHelp } from "../settings/table.ts";
import { parseUpFlags, upConfigNames, upSettingsForHelp, type UpOptions } from "../settings/up.ts";
import { formatAddress } from "../system/address.ts";
import { systemClock } from "../system/clock.ts";
import { useProxies } from "../system/proxy.ts";
import { createLogger, openStandardOutput } from "../telemetry/logger.ts";
import { urlOf } from "../envoy/values.ts";
import { listenForSignals } from "./serve.ts";
import { startUp, type Up } from "./up-start.ts";

/** What `up --help` prints or, for one config, `up NAME --help`. */
export const upHelp = (argv: readonly string[]) =>
  formatHelp(
    "Usage: idtoken-authz up NAME [flags]\n\n" +
      "Runs the auth server and an Envoy with one of the client configs, as one program. NAME is one of\n" +
      `  ${upConfigNames.join("\n  ")}\n` +
      "Steps are printed on standard error, the log on standard output. The auth server listens on a\n" +
      "private Unix socket. Envoy is started again if it dies. SIGTERM and Ctrl-C end both after the\n" +
      "open requests. up NAME --help lists the flags of that config.",
    upSettingsForHelp(argv),
  );

/** After an interrupt, how long a step of the start may take to notice it. */
const ABORT_MS = 1000;
const PARENT_POLL_MS = 250;

/**
 * Runs the auth server and Envoy until SIGTERM, SIGINT or the end of its terminal, then drains both;
 * without a terminal, SIGHUP reads the credential file again. Resolves with the exit code: 0 after a
 * drain or after a signal before all was ready, 1 if a second signal cut the drain short. Throws a
 * UsageError or StartError when it cannot start; whatever was started by then has been stopped.
 */
export async function upCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  io: { readonly stderr: (text: string) => void },
): Promise<number> {
  const options = parseUpFlags(argv, env, process.stdout.isTTY);
  useProxies(proxyEnvironment(env));
  const signals = listenForSignals();
  let reload = () => {};
  const asked = Promise.race([signals.first, waitForNpm(env), onHangUp(() => reload())]);
  const output = openStandardOutput();
  const log = createLogger(options.server.logLevel, output.stream);
  const step = createSteps(io.stderr);
  const abort = new AbortController();
  const parts = new AsyncDisposableStack();
  const context = { env, clock: systemClock, log, step, signal: abort.signal, parts };
  const starting = startUp(options, context);
  try {
    const up = await Promise.race([starting, asked]);
    if (up === undefined) {
      abort.abort();
      await Promise.race([starting.catch(() => {}), signals.second, sleep(ABORT_MS)]);
      return 0;
    }
    reload = up.server?.reload ?? reload;
    step(describeUp(options, up));
    await asked;
    const { drainTimeoutMs } = options.server;
    step(`draining: open requests have ${drainTimeoutMs / 1000} s to end`);
    const drained = up.envoy.drain(drainTimeoutMs).then(() => 0);
    return await Promise.race([drained, signals.second.then(() => 1)]);
  } finally {
    await Promise.race([parts.disposeAsync(), signals.second]);
    await output.end();
  }
}

/**
 * npm runs a program, by npx or as a script, in a shell, to which alone it passes signals on.
 * Resolves when that shell has ended.
 */
async function waitForNpm(env: NodeJS.ProcessEnv): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (env["npm_command"] === undefined) return promise;
  const parent = process.ppid;
  const look = () => {
    if (process.ppid !== parent) resolve();
  };
  setInterval(look, PARENT_POLL_MS).unref();
  return promise;
}

/**
 * Resolves when the terminal that the process was started at is gone; without one, SIGHUP means to
 * reload.
 */
async function onHangUp(reload: () => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  process.on("SIGHUP", process.stdin.isTTY ? resolve : reload);
  // What is printed from then on cannot be.
  process.stderr.on("error", () => {});
  return promise;
}

function createSteps(print: (text: string) => void): (text: string) => void {
  const startedMs = systemClock.now().monotonicMs;
  return (text) => {
    const seconds = (systemClock.now().monotonicMs - startedMs) / 1000;
    // Names in certificates and tokens are chosen by the other end.
    print(`${seconds.toFixed(1).padStart(5)} s  ${text.replaceAll(/\p{Cc}/gu, "?")}\n`);
  };
}

/** Where to connect, for which service, as which account. */
function describeUp(options: UpOptions, { listen, account }: Up): string {
  const { name, envoy, server } = options;
  const address = formatAddress(listen);
  const where = name.startsWith("gateway") ? `http://${address}` : address;
  const allowed = [...server.audiences, ...server.allowAudiences].join(", ");
  const target = envoy.service === undefined ? allowed : urlOf(envoy.service);
  const as = account ? ` as ${account}` : "";
  return `ready: ${where} leads to ${target}${as}`;
}
