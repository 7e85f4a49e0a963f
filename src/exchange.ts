import { readBounded } from "./bounded-body.ts";
import { MintError } from "./errors.ts";

/** What the token endpoint said with status 200. */
export interface TokenAnswer {
  readonly body: string;
  /** The endpoint's own clock (its `Date` header) in milliseconds, undefined when it has none. */
  readonly issuerNowMs: number | undefined;
}

/** Real answers are about 1.5 KB. */
const MAX_ANSWER_BYTES = 65_536;
/** Statuses with which OAuth answers a refused request (RFC 6749, section 5.2; RFC 7523). */
const REFUSALS = new Set([400, 401, 403]);

/**
 * Posts a form to the token endpoint, once: no redirect is followed, no retry made, and the
 * answer bounded in size. Throws a MintError that tells a refusal from a passing failure; its
 * message holds nothing of the request, even where the endpoint echoes it.
 */
export async function postForm(
  url: URL,
  form: URLSearchParams,
  signal: AbortSignal,
): Promise<TokenAnswer> {
  try {
    const response = await fetch(url, { method: "POST", body: form, redirect: "manual", signal });
    // Leaving the body unread cancels the rest of it.
    const body = await readBounded(response.body ?? [], MAX_ANSWER_BYTES);
    if (body === undefined) {
      const message = `the token endpoint answered more than ${MAX_ANSWER_BYTES} bytes`;
      throw new MintError("mint_invalid_answer", message);
    }
    if (response.status !== 200) throw refusalOf(response, body);
    const date = Date.parse(response.headers.get("date") ?? "");
    return { body, issuerNowMs: Number.isNaN(date) ? undefined : date };
  } catch (cause) {
    if (cause instanceof MintError) throw cause;
    if (signal.reason instanceof MintError) throw signal.reason;
    throw new MintError("mint_unavailable", `no answer from ${url.host}: ${networkReason(cause)}`);
  }
}

function refusalOf(response: Response, body: string): MintError {
  const { status } = response;
  const { error, description } = parseOAuthError(body);
  if (error !== undefined && REFUSALS.has(status)) {
    return new MintError("mint_rejected", `the token endpoint refused: ${error}${description}`);
  }
  const message = `the token endpoint answered ${status}`;
  if (status === 429 || status >= 500) {
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"));
    return new MintError("mint_unavailable", message, { retryAfterMs });
  }
  return new MintError("mint_invalid_answer", message);
}

function parseOAuthError(body: string): { error: string | undefined; description: string } {
  let fields: unknown;
  try {
    fields = JSON.parse(body);
  } catch {
    // No OAuth error, then.
  }
  const error = fieldOf(fields, "error");
  if (error === undefined || !/^[a-z_]{1,64}$/.test(error)) {
    return { error: undefined, description: "" };
  }
  return { error, description: safeDescription(fieldOf(fields, "error_description")) };
}

function fieldOf(fields: unknown, name: string): string | undefined {
  if (typeof fields !== "object" || fields === null) return undefined;
  const value: unknown = Reflect.get(fields, name);
  return typeof value === "string" ? value : undefined;
}

/** A description in words is worth showing; one with a long run of key-like characters is not. */
function safeDescription(text: string | undefined): string {
  if (text === undefined || text.length > 300) return "";
  if (!/^[\x20-\x7e]+$/.test(text) || /[\w+/=.%-]{40,}|eyJ/.test(text)) return "";
  return ` (${text})`;
}

/** RFC 9110, section 10.2.3: seconds, or a date. Anything else asks for nothing. */
function parseRetryAfter(value: string | null): number {
  if (value === null) return 0;
  const waitMs = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Math.max(0, Number.isNaN(waitMs) ? 0 : waitMs);
}

/** The system's words for a network failure, which name hosts and ports and nothing else. */
function networkReason(cause: unknown): string {
  const inner = cause instanceof Error ? (cause.cause ?? cause) : undefined;
  if (!(inner instanceof Error)) return "unknown failure";
  return "code" in inner && typeof inner.code === "string" ? inner.code : inner.name;
}
