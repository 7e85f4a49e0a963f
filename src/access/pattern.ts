/** The longest text that is considered; real audiences and names of callers are URLs and IDs. */
export const MAX_LENGTH = 2048;
/** Printable ASCII with spaces only inside: what a header carries unchanged. */
const PRINTABLE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
const QUOTED = /^["'`]|["'`]$/;
/** What one `*` stands for: never a `/`, so that a pattern cannot leave the host. */
const STAR = "[A-Za-z0-9._-]+";

/** Parses text that headers and certificates can carry. Throws an Error whose message is the rule. */
export function parsePrintable(text: string): string {
  if (text.length > MAX_LENGTH || !PRINTABLE.test(text)) {
    throw new Error(`must be 1 to ${MAX_LENGTH} printable ASCII characters`);
  }
  if (QUOTED.test(text)) {
    throw new Error("must be given without quotes: those around it are part of the value");
  }
  return text;
}

/**
 * Refuses a pattern whose `*` could stand for another owner's name: it must have a domain after
 * the `*` or a beginning before it. Throws an Error whose message is the rule, with the examples.
 */
export function requireNarrow(pattern: string, withDomain: string, withStart: string): void {
  const [, scheme, rest = ""] = /^([a-z]+:\/\/)?(.*)$/s.exec(pattern) ?? [];
  const fixedStart = rest.slice(0, rest.indexOf("*"));
  const fixedEnd = rest.slice(rest.lastIndexOf("*") + 1);
  const isNarrow =
    !rest.includes("*") ||
    /^[a-z0-9-]*(?:\.[a-z0-9-]+){2,}(?:[:/]|$)/i.test(fixedEnd) ||
    (scheme === undefined ? fixedStart.length >= 4 : fixedStart.includes("/"));
  if (isNarrow) return;
  throw new Error(
    `matches too much: keep a domain after the *, as in ${withDomain}, ` +
      `or a beginning before it, as in ${withStart}`,
  );
}

/**
 * Parses the name of a caller, a DNS name or URI of its certificate, exact or with `*`. Throws an
 * Error whose message is the rule.
 */
export function parseCallerPattern(text: string): string {
  const pattern = parsePrintable(text);
  requireNarrow(pattern, "*.shop.example.com", "spiffe://cluster.local/ns/shop/sa/*");
  return pattern;
}

/** Creates the test of many texts against patterns, exact or with `*`. */
export function createMatcher(patterns: readonly string[]): (text: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  const others = patterns.filter((pattern) => pattern.includes("*")).map(compile);
  return (text) => exact.has(text) || others.some((pattern) => pattern.test(text));
}

function compile(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => RegExp.escape(part));
  return new RegExp(`^${parts.join(STAR)}$`);
}
