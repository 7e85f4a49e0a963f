/** A line that Envoy wrote, with one of the log's own levels. */
export interface EnvoyLogLine {
  readonly level: "debug" | "info" | "warn" | "error" | "fatal";
  readonly text: string;
}

/** Makes Envoy write what `parseLogLine` reads: one line a message, its level and logger first. */
export const LOG_FLAGS: readonly string[] = [
  // From debug on, Envoy logs headers, and with them tokens.
  "--log-level",
  "warning",
  // Says on each start that no limit of connections is set, and repeats every signal.
  "--component-log-level",
  "main:error",
  "--log-format",
  "%l|%n|%v",
  "--log-format-escaped",
];

const LEVELS: Readonly<Record<string, EnvoyLogLine["level"]>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  critical: "fatal",
};

/** Envoy's warning for a field that the gateways use on purpose: see docs/security.md. */
const EXPECTED = /allow_custom_methods' is marked as work-in-progress/;

/** Reads a line of Envoy's log; one in another form, as of a dynamic linker, is an error. */
export function parseLogLine(line: string): EnvoyLogLine {
  const [, level = "", logger, message = ""] = /^([a-z]+)\|([^|]*)\|(.*)$/s.exec(line) ?? [];
  const known = LEVELS[level];
  if (known === undefined) return { level: "error", text: line };
  // Escaped for control characters' sake, and so are quotes.
  const text = message.replaceAll(/\\+(['"])/g, "$1");
  return { level: EXPECTED.test(text) ? "info" : known, text: `${logger}: ${text}` };
}

/** Reads a line of the access log, in which the shipped configs note failed requests only. */
export function parseAccessLogLine(line: string): EnvoyLogLine {
  // The log has a time of its own.
  return { level: "warn", text: line.replace(/^\[[^\]]*\] /, "") };
}
