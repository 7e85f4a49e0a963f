import type { Instant } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import type { Answer, Peer } from "./exchange.ts";
import { InvalidIdToken, parseIdToken, type IdToken } from "../tokens/id-token.ts";

/** The fields of a JSON answer. Throws a MintError. */
export function jsonOf({ body }: Answer, peer: Peer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // The parser's own message would quote the answer.
  }
  if (typeof value !== "object" || value === null) throw refused(peer, "it is no JSON object");
  return value as Record<string, unknown>;
}

/** An answer's ID token, verified for the audience that was asked. Throws a MintError. */
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
    if (cause instanceof InvalidIdToken) throw refused(peer, cause.message);
    throw cause;
  }
}

/** A token that a header can carry. Throws a MintError. */
export function bearerOf(value: unknown, peer: Peer): string {
  if (typeof value === "string" && /^[\x21-\x7e]+$/.test(value)) return `Bearer ${value}`;
  throw refused(peer, "it has no access token");
}

/** A span of time that is still to come, in milliseconds. Throws a MintError. */
export function lifeOf(lifeMs: number, peer: Peer): number {
  if (Number.isFinite(lifeMs) && lifeMs > 0) return lifeMs;
  throw refused(peer, "its access token has no life left");
}

function refused(peer: Peer, reason: string): MintError {
  return new MintError("mint_invalid_answer", `${peer.name}'s answer is refused: ${reason}`);
}
