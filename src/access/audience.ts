import type { RefusalCode } from "../system/errors.ts";
import { createMatcher, MAX_LENGTH, parsePrintable, requireNarrow } from "./pattern.ts";

/** What a check request says about its audience: header values, undefined where absent. */
export interface CheckRequest {
  /** `x-id-token-audience`; several such headers arrive joined by commas. */
  readonly named: string | undefined;
  readonly host: string | undefined;
}

/** Which audiences the operator has configured. */
export interface AudiencePolicy {
  /** The first is the default; all are allowed. Each comes from `parseAudience`. */
  readonly configured: readonly string[];
  /** Further allowed audiences, exact or with `*`. Each comes from `parseAudiencePattern`. */
  readonly allowed: readonly string[];
  /** Whether a check that names no audience, and has no default, uses `https://` and its Host. */
  readonly fromHost: boolean;
}

export type AudienceChoice = { readonly audience: string } | { readonly refused: RefusalCode };

/** The scheme, authority and rest of a web URL without user information (RFC 3986, section 3). */
const WEB_URL = /^(https?):\/\/([^/?#@]+)((?:[/?#].*)?)$/is;
/** The host of a revision's traffic tag on Cloud Run, and after the tag the service's own host. */
const TAGGED_HOST = /^[a-z0-9](?:[a-z0-9-]*?[a-z0-9])?---([a-z].*\.run\.app)$/;
/** A DNS name of at least two labels, the last one not a number, with an optional port. */
const HOST = /^((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])?)(?::\d{1,5})?$/;
const MAX_HOST_LENGTH = 253 + ":65535".length;

/**
 * The one form of an audience that is a web URL: scheme and host in lower case, without the default
 * port, without a path that is only `/`, and on Cloud Run without a traffic tag, since the service
 * accepts only tokens for its own URL. Any other audience stays as it is.
 */
export function canonicalAudience(audience: string): string {
  const [, scheme, authority, rest] = WEB_URL.exec(audience) ?? [];
  if (scheme === undefined || authority === undefined) return audience;
  const protocol = scheme.toLowerCase();
  const defaultPort = protocol === "https" ? /:(?:0*443)?$/ : /:(?:0*80)?$/;
  const host = authority.toLowerCase().replace(defaultPort, "");
  return `${protocol}://${TAGGED_HOST.exec(host)?.[1] ?? host}${rest === "/" ? "" : rest}`;
}

/** Parses a configured audience into its canonical form. Throws an Error whose message is the rule. */
export function parseAudience(text: string): string {
  if (text.includes("*")) throw new Error("must be one audience; patterns go in --allow-audience");
  return canonicalAudience(parsePrintable(text));
}

/** Parses an allow-list entry into its canonical form. Throws an Error whose message is the rule. */
export function parseAudiencePattern(text: string): string {
  const pattern = canonicalAudience(parsePrintable(text));
  requireNarrow(pattern, "https://*.run.app", "team-*");
  if (pattern.includes("*") && /---[^/]*\.run\.app$/.test(pattern)) {
    throw new Error(
      "matches no audience: a token is for the service's own URL, without the traffic tag and ---",
    );
  }
  return pattern;
}

/**
 * Creates the rule that every check goes through: the named audience if it is allowed, else the
 * default, else the Host's if that is switched on and allowed. The audience that it chooses is in
 * canonical form. The rule never throws.
 */
export function createAudienceRule(
  policy: AudiencePolicy,
): (request: CheckRequest) => AudienceChoice {
  const isConfigured = createMatcher(policy.configured);
  const isAllowed = createMatcher(policy.allowed);
  const [fallback] = policy.configured;
  const byDefault = fallback === undefined ? undefined : { audience: fallback };

  function chooseIfAllowed(named: string): AudienceChoice {
    if (isConfigured(named)) return { audience: named };
    if (named.length > MAX_LENGTH) return { refused: "audience_not_allowed" };
    const audience = canonicalAudience(named);
    return isConfigured(audience) || isAllowed(audience)
      ? { audience }
      : { refused: "audience_not_allowed" };
  }

  return ({ named, host }) => {
    if (named !== undefined) return chooseIfAllowed(named);
    if (byDefault !== undefined) return byDefault;
    if (!policy.fromHost || host === undefined || host === "") {
      return { refused: "audience_missing" };
    }
    const name = host.length > MAX_HOST_LENGTH ? undefined : HOST.exec(host.toLowerCase())?.[1];
    return name === undefined
      ? { refused: "audience_not_allowed" }
      : chooseIfAllowed(`https://${name}`);
  };
}
