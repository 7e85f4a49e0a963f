import { pino, type DestinationStream, type Logger } from "pino";

export type { Logger };

/** pino's levels, as `--log-level` takes them. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Creates the log: one JSON object a line, on standard output unless told otherwise. An error
 * is logged as its name, code and message alone, since causes and stacks can carry requests.
 */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

function describeError(error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof Error)) return { name: typeof error };
  const { name, message } = error;
  return "code" in error ? { name, code: String(error.code), message } : { name, message };
}
