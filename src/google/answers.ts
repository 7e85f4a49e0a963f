import type { Instant } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import type { Answer, Peer } from "./exchange.ts";
import { InvalidIdToken, parseIdToken, type IdToken } from "../tokens/id-token.ts";

/** Parses a JSON answer. Throws a MintError. */
export function jsonOf({ body }: Answer, peer: Peer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // The parser's message would quote the answer.
  }
  if (typeof value !== "object" || value === null) throw unusable(peer, "it is not a JSON object");
  return value as Record<string, unknown>;
}

/** Parses an answer's ID token and verifies that it is for the audience. Throws a MintError. */
export function idTokenOf(
  value: unknown,
  audience: string,
  obtainedAt: Instant,
  { issuerNowMs = obtainedAt.wallMs }: Answer,
  peer: Peer,
): IdToken {
  try {
    return parseIdToken(value, audience, obtainedAt, issuerNowMs);
  } catch (cause) {
    if (cause instanceof InvalidIdToken) throw unusable(peer, cause.message);
    throw cause;
  }
}

/** The `authorization` value of an access token that a header can carry. Throws a MintError. */
export function bearerOf(value: unknown, peer: Peer): string {
  if (typeof value === "string" && /^[\x21-\x7e]+$/.test(value)) return `Bearer ${value}`;
  throw unusable(peer, "it has no access token");
}

/** Returns a positive life in milliseconds. Throws a MintError for any other. */
export function lifeOf(lifeMs: number, peer: Peer): number {
  if (Number.isFinite(lifeMs) && lifeMs > 0) return lifeMs;
  throw unusable(peer, "its access token has no life left");
}

function unusable(peer: Peer, reason: string): MintError {
  return new MintError("mint_invalid_answer", `${peer.name}'s answer is not usable: ${reason}`);
}
