import { pino, type DestinationStream } from "pino";
import { codeOf } from "../system/errors.ts";
import type { LogEvent } from "./log-events.ts";

/** pino's levels, as `--log-level` takes them. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The fields of a log line. `err` is logged as its name, code and message. */
export type LogFields = { readonly event: LogEvent } & Readonly<Record<string, unknown>>;

/** One function per level; every line names its event. */
export type Logger = Readonly<
  Record<Exclude<LogLevel, "silent">, (fields: LogFields, message: string) => void>
>;

/** The log stream and its shutdown flush. */
export interface LogOutput {
  readonly stream: DestinationStream;
  /** Flushes buffered lines, for at most half a second: a stalled reader must not delay the exit. */
  readonly end: () => Promise<void>;
}

/** Lines buffered for a slow reader, in bytes; further lines are dropped. */
const MAX_BUFFERED_BYTES = 1_048_576;
const MAX_FLUSH_MS = 500;

/**
 * Creates the log: one JSON object per line. Of an error only its name, code and message are
 * logged, since causes and stacks can carry requests.
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

/** Opens standard output for the log. A full disk or a closed or stalled reader blocks nothing. */
export function openStandardOutput(): LogOutput {
  const file = pino.destination({ fd: 1, sync: false, maxLength: MAX_BUFFERED_BYTES });
  let isFlushed = true;
  file.on("drain", () => (isFlushed = true));
  // There is nowhere else to report it; the next line tries again.
  file.on("error", () => (isFlushed = true));

  async function end(): Promise<void> {
    if (!isFlushed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      file.once("drain", resolve).once("error", resolve);
      const timer = setTimeout(resolve, MAX_FLUSH_MS);
      await promise;
      clearTimeout(timer);
    }
    // Otherwise pino retries its leftover lines on exit, forever if the disk is full.
    file.destroy();
  }

  function write(line: string): void {
    isFlushed = false;
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
