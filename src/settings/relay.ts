import { isLoopback, parseTcpAddress, type TcpAddress } from "../system/address.ts";
import { serveSettings } from "./serve.ts";
import { one, parseSettings, type Values } from "./table.ts";

/** The settings of `relay`. */
export const relaySettings = {
  listen: one(
    {
      flag: "listen",
      env: "RELAY_LISTEN",
      placeholder: "HOST:PORT",
      default: "127.0.0.1:7778",
      help: "Where the tunnel server's Envoy connects. Anyone who can connect reaches the TCP server without a certificate, so this must be a loopback address.",
    },
    parseLoopback,
  ),
  target: one(
    {
      flag: "target",
      env: "TARGET",
      placeholder: "HOST:PORT",
      default: "127.0.0.1:7777",
      help: "The TCP server.",
    },
    (text) => parseTcpAddress(text, 1),
  ),
  logLevel: serveSettings.logLevel,
  drainTimeoutMs: {
    ...serveSettings.drainTimeoutMs,
    help: "Longest wait for open connections after SIGTERM or SIGINT. The rest is reset.",
  },
};

/** Reads the configuration of `relay`. Throws a UsageError that lists every error. */
export function parseRelayConfig(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): Values<typeof relaySettings> {
  return parseSettings(relaySettings, argv, env).values;
}

function parseLoopback(text: string): TcpAddress {
  const address = parseTcpAddress(text);
  if (!isLoopback(address.host)) throw new Error("must be a loopback address");
  return address;
}
