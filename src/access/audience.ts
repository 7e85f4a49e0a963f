import type { RefusalCode } from "../system/errors.ts";

/** What a check request says about its audience: header values, undefined where absent. */
export interface CheckRequest {
  /** `x-id-token-audience`; several such headers arrive joined by commas. */
  readonly named: string | undefined;
  readonly host: string | undefined;
}

/** The operator's word on audiences. */
export interface AudiencePolicy {
  /** The first is the default; every one is allowed. */
  readonly configured: readonly string[];
  /** Further allowed audiences, exact or with `*`, each accepted by `parseAudiencePattern`. */
  readonly allowed: readonly string[];
  /** Whether a check that names none, where there is no default, uses `https://` + its Host. */
  readonly fromHost: boolean;
}

export type AudienceChoice = { readonly audience: string } | { readonly refused: RefusalCode };

/** Longest audience that is looked at; real ones are URLs and client IDs. */
const MAX_LENGTH = 2048;
/** Printable ASCII, with spaces inside only: what a header carries unchanged. */
const PRINTABLE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
/** A DNS name of two labels or more whose last label is no number, with an optional port. */
const HOST = /^((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])?)(?::\d{1,5})?$/;
const MAX_HOST_LENGTH = 253 + ":65535".length;
/** What one `*` stands for: never a `/`, so that a pattern cannot leave the host. */
const STAR = "[A-Za-z0-9._-]+";

/** Parses a configured audience. Throws an Error whose message is the rule. */
export function parseAudience(text: string): string {
  if (text.includes("*")) throw new Error("must be one audience; patterns go in --allow-audience");
  return parsePrintable(text);
}

/** Parses an allow-list entry. Throws an Error whose message is the rule. */
export function parseAudiencePattern(text: string): string {
  const [, scheme, rest = ""] = /^([a-z]+:\/\/)?(.*)$/s.exec(text) ?? [];
  const fixedStart = rest.slice(0, rest.indexOf("*"));
  const fixedEnd = rest.slice(rest.lastIndexOf("*") + 1);
  const narrow =
    !rest.includes("*") ||
    /^[a-z0-9-]*(?:\.[a-z0-9-]+){2,}(?:[:/]|$)/i.test(fixedEnd) ||
    (scheme === undefined ? fixedStart.length >= 4 : fixedStart.includes("/"));
  if (!narrow) {
    throw new Error(
      "matches too much: keep a domain after the *, as in https://*.run.app, " +
        "or a beginning before it, as in team-*",
    );
  }
  return parsePrintable(text);
}

function parsePrintable(text: string): string {
  if (text.length > MAX_LENGTH || !PRINTABLE.test(text)) {
    throw new Error(`must be 1 to ${MAX_LENGTH} printable ASCII characters`);
  }
  return text;
}

/**
 * Builds the rule that every check goes through: the named audience if allowed, else the
 * default, else the Host's if that is switched on and allowed. The rule never throws.
 */
export function createAudienceRule(
  policy: AudiencePolicy,
): (request: CheckRequest) => AudienceChoice {
  const exact = new Set([...policy.configured, ...policy.allowed.filter((a) => !a.includes("*"))]);
  const patterns = policy.allowed.filter((a) => a.includes("*")).map(compilePattern);
  const [fallback] = policy.configured;
  const byDefault = fallback === undefined ? undefined : { audience: fallback };

  const ifAllowed = (audience: string): AudienceChoice =>
    audience.length <= MAX_LENGTH &&
    (exact.has(audience) || patterns.some((pattern) => pattern.test(audience)))
      ? { audience }
      : { refused: "audience_not_allowed" };

  return ({ named, host }) => {
    if (named !== undefined) return ifAllowed(named);
    if (byDefault !== undefined) return byDefault;
    if (!policy.fromHost || host === undefined || host === "") {
      return { refused: "audience_missing" };
    }
    const name = host.length > MAX_HOST_LENGTH ? undefined : HOST.exec(host.toLowerCase())?.[1];
    return name === undefined ? { refused: "audience_not_allowed" } : ifAllowed(`https://${name}`);
  };
}

function compilePattern(pattern: string): RegExp {
  return new RegExp(
    `^${pattern
      .split("*")
      .map((part) => RegExp.escape(part))
      .join(STAR)}$`,
  );
}
