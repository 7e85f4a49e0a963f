import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { startRelay } from "../relay/relay.ts";
import { parseRelayConfig, relaySettings } from "../settings/relay.ts";
import { formatHelp } from "../settings/table.ts";
import { formatAddress } from "../system/address.ts";
import { createLogger, openStandardOutput } from "../telemetry/logger.ts";

/** The output of `relay --help`. */
export const relayHelp = () =>
  formatHelp(
    "Usage: idtoken-authz relay [flags]\n\n" +
      "Runs next to the tunnel server's Envoy and connects each stream of a shared tunnel to the TCP\n" +
      "server. Envoy itself would lose data when the server ends its side of a connection first.",
    relaySettings,
  );

/**
 * Relays until SIGTERM or SIGINT, then drains. A second signal ends the process. Resolves with the
 * exit code 0. Throws a UsageError or StartError if it cannot start.
 */
export async function relayCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const { listen, target, logLevel, drainTimeoutMs } = parseRelayConfig(argv, env);
  // Whatever arrives is outside the heap, and goes only with a full collection, many times a second
  // under load. On a heap as small as this one, marking step by step takes more than all at once.
  setFlagsFromString("--no-incremental-marking");
  const signal = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
  const output = openStandardOutput();
  const log = createLogger(logLevel, output.stream);
  const onUnreachable = (code: string) =>
    log.warn(
      { event: "target_unreachable", target: formatAddress(target), code },
      "cannot connect to the TCP server",
    );
  const relay = await startRelay({ listen, target, onUnreachable });
  log.info(
    { event: "listening", listen: formatAddress(relay.address), target: formatAddress(target) },
    "listening",
  );
  await signal;
  log.info({ event: "draining", drainTimeoutMs }, "draining");
  await relay.close(drainTimeoutMs);
  log.info({ event: "stopped" }, "stopped");
  await output.end();
  return 0;
}
