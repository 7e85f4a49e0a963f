import { pino, type DestinationStream, type Logger } from "pino";
import { codeOf } from "../system/errors.ts";

export type { Logger };

/** pino's levels, as `--log-level` takes them. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Where lines go, and a last chance for those that wait. */
export interface LogOutput {
  readonly stream: DestinationStream;
  /** Waits for waiting lines, but not for a reader that does not read. */
  readonly end: () => Promise<void>;
}

/** Lines that wait while nobody reads them, in bytes; beyond it they are dropped. */
const MAX_WAITING_BYTES = 1_048_576;
const MAX_END_MS = 500;

/**
 * Creates the log: one JSON object a line. An error is logged as its name, code and message
 * alone, since causes and stacks can carry requests.
 */
export function createLogger(level: LogLevel, stream: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    stream,
  );
}

/** Opens standard output for the log: a full disk, a closed or a stalled reader hold nothing up. */
export function openStandardOutput(): LogOutput {
  const file = pino.destination({ fd: 1, sync: false, maxLength: MAX_WAITING_BYTES });
  let waiting = false;
  file.on("drain", () => (waiting = false));
  // There is no other place to tell it; the next line tries again.
  file.on("error", () => (waiting = false));

  async function end(): Promise<void> {
    if (waiting) {
      const { promise, resolve } = Promise.withResolvers<void>();
      file.once("drain", resolve).once("error", resolve);
      const timer = setTimeout(resolve, MAX_END_MS);
      await promise;
      clearTimeout(timer);
    }
    // Else pino tries to write what is left as the process exits, for ever if the disk is full.
    file.destroy();
  }

  function write(line: string): void {
    waiting = true;
    file.write(line);
  }

  return { stream: { write }, end };
}

function describeError(error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof Error)) return { name: typeof error };
  const { name, message } = error;
  const code = codeOf(error);
  return code === undefined ? { name, message } : { name, code, message };
}
