import { systemClock } from "../system/clock.ts";
import { parseConfig, allServeSettings } from "../settings/serve.ts";
import { proxyEnvironment } from "../credentials/metadata-server.ts";
import { createLogger, openStandardOutput } from "../telemetry/logger.ts";
import { useProxies } from "../system/proxy.ts";
import { startServer } from "../server/server.ts";
import { formatHelp } from "../settings/table.ts";

/** The output of `serve --help`. */
export const serveHelp = () =>
  formatHelp(
    "Usage: idtoken-authz serve [flags]\n\n" +
      "Answers Envoy's ext_authz checks, over HTTP and gRPC, with a Google-signed ID token, and pushes\n" +
      "tokens to Envoy as secrets, by SDS over REST.\n" +
      "Flags take precedence over environment variables, which take precedence over defaults.",
    allServeSettings,
  );

/**
 * Serves until SIGTERM or SIGINT, then drains; SIGHUP reloads the credential file and the check
 * secret. Resolves with the exit code: 0 after a drain or after a signal before the server was
 * ready, 1 if a second signal interrupted the drain. Throws a UsageError or StartError if it cannot
 * start.
 */
export async function serveCommand(argv: readonly string[], env: NodeJS.ProcessEnv) {
  const config = parseConfig(argv, env);
  // Requests to Google honour HTTPS_PROXY and NO_PROXY, as in other programs.
  useProxies(proxyEnvironment(env));
  const signals = listenForSignals();
  // A SIGHUP during the start must not end the process.
  let reload = () => {};
  process.on("SIGHUP", () => reload());
  const output = openStandardOutput();
  const log = createLogger(config.logLevel, output.stream);
  const starting = startServer(config, { env, clock: systemClock, log });
  const server = await Promise.race([starting, signals.first]);
  // Until it is ready there is nothing to drain, and what it waits for may never come.
  if (server === undefined) return 0;
  ({ reload } = server);
  await signals.first;
  const code = await Promise.race([server.close().then(() => 0), signals.second.then(() => 1)]);
  await output.end();
  return code;
}

export function listenForSignals(): {
  readonly first: Promise<void>;
  readonly second: Promise<void>;
} {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let count = 0;
  const onSignal = () => (++count === 1 ? first : second).resolve();
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  return { first: first.promise, second: second.promise };
}
