import { readBounded } from "../system/bounded-body.ts";
import { codeOf, MintError } from "../system/errors.ts";

/** What `fetch` does, for those that must do it over connections of their own. */
export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/** Who is asked. */
export interface Peer {
  /** How messages call it, as in "the token endpoint". */
  readonly name: string;
  /** What a person can do about a refusal; an empty text for nothing in particular. */
  readonly remedy?: (refused: RefusedRequest) => string;
  /** What a person can do when it cannot be reached. */
  readonly absence?: string;
  /** Node's own `fetch`, unless told otherwise. */
  readonly fetch?: Fetch | undefined;
}

/** What a refusal says of itself, in OAuth's words or those of Google's APIs. */
export interface RefusedRequest {
  readonly status: number;
  /** As in `invalid_grant` or `PERMISSION_DENIED`. */
  readonly code: string;
  /** `ErrorInfo.reason` of Google's APIs, as in `SERVICE_DISABLED`; empty when there is none. */
  readonly reason: string;
}

/** A whole answer, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  /** The peer's own clock (its `Date` header) in milliseconds, undefined when it has none. */
  readonly issuerNowMs: number | undefined;
}

const TOKEN_ENDPOINT: Peer = { name: "the token endpoint" };
/** Real answers are about 1.5 KB. */
const MAX_ANSWER_BYTES = 65_536;
/** Refusals of what was asked for, which say nothing of who asked (RFC 6749, 5.2; RFC 8707, 2). */
const OF_THE_REQUEST = new Set([
  "invalid_request",
  "invalid_scope",
  "invalid_target",
  "INVALID_ARGUMENT",
]);
/** Statuses with which OAuth and Google's APIs refuse a request (RFC 6749, section 5.2; RFC 7523). */
const REFUSALS = new Set([400, 401, 403, 404]);

/**
 * Posts a form to the token endpoint, once: no redirect is followed, no retry made, and the
 * answer bounded in size. Throws a MintError that tells a refusal from a passing failure; its
 * message holds nothing of the request, even where the endpoint echoes it.
 */
export async function postForm(
  url: URL,
  form: URLSearchParams,
  signal: AbortSignal,
  peer: Peer = TOKEN_ENDPOINT,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return requireOk(await send(url, { method: "POST", body: form, headers }, signal, peer), peer);
}

/** Posts JSON; in all else like `postForm`. */
export async function postJson(
  url: URL,
  value: unknown,
  signal: AbortSignal,
  peer: Peer,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  const init = {
    method: "POST",
    body: JSON.stringify(value),
    headers: { ...headers, "content-type": "application/json" },
  };
  return requireOk(await send(url, init, signal, peer), peer);
}

/**
 * Sends one request, once, and reads the answer, whatever its status: no redirect is followed.
 * Throws a MintError when no whole answer comes, or one that is too long.
 */
export async function send(
  url: URL,
  init: RequestInit,
  signal: AbortSignal,
  peer: Peer,
): Promise<Answer> {
  try {
    const response = await (peer.fetch ?? fetch)(url, { ...init, redirect: "manual", signal });
    // Leaving the body unread cancels the rest of it.
    const body = await readBounded(response.body ?? [], MAX_ANSWER_BYTES);
    if (body === undefined) {
      const message = `${peer.name} answered more than ${MAX_ANSWER_BYTES} bytes`;
      throw new MintError("mint_invalid_answer", message);
    }
    const date = Date.parse(response.headers.get("date") ?? "");
    const issuerNowMs = Number.isNaN(date) ? undefined : date;
    return { status: response.status, headers: response.headers, body, issuerNowMs };
  } catch (cause) {
    if (cause instanceof MintError) throw cause;
    if (signal.reason instanceof MintError) throw signal.reason;
    const message = `no answer from ${url.host}: ${networkReason(cause)}`;
    throw new MintError("mint_unavailable", withHint(message, peer.absence));
  }
}

/** Passes an answer with status 200. Throws a MintError for any other. */
export function requireOk(answer: Answer, peer: Peer): Answer {
  if (answer.status !== 200) throw refusalOf(answer, peer);
  return answer;
}

function refusalOf({ status, headers, body, issuerNowMs }: Answer, peer: Peer): MintError {
  const { code, reason, description } = parseError(body);
  if (code !== undefined && REFUSALS.has(status)) {
    const remedy = peer.remedy?.({ status, code, reason });
    const message = `${peer.name} refused: ${code}${description}`;
    const ofCredential = !OF_THE_REQUEST.has(code);
    return new MintError("mint_rejected", withHint(message, remedy), { issuerNowMs, ofCredential });
  }
  const message = `${peer.name} answered ${status}`;
  if (status === 429 || status >= 500) {
    const retryAfterMs = parseRetryAfter(headers.get("retry-after"));
    return new MintError("mint_unavailable", message, { retryAfterMs });
  }
  return new MintError("mint_invalid_answer", message);
}

function withHint(message: string, hint = ""): string {
  return hint === "" ? message : `${message}: ${hint}`;
}

/** Reads the error of OAuth (RFC 6749, section 5.2) or of Google's APIs (AIP-193). */
function parseError(body: string): {
  readonly code: string | undefined;
  readonly reason: string;
  readonly description: string;
} {
  let fields: unknown;
  try {
    fields = JSON.parse(body);
  } catch {
    // Neither, then.
  }
  const error = fieldOf(fields, "error");
  const isOAuth = typeof error === "string";
  const code = isOAuth ? error : fieldOf(error, "status");
  if (typeof code !== "string" || !/^\w{1,64}$/.test(code)) {
    return { code: undefined, reason: "", description: "" };
  }
  const text = isOAuth ? fieldOf(fields, "error_description") : fieldOf(error, "message");
  return { code, reason: reasonOf(fieldOf(error, "details")), description: safeDescription(text) };
}

function reasonOf(details: unknown): string {
  const reasons = Array.isArray(details) ? details.map((each) => fieldOf(each, "reason")) : [];
  const reason = reasons.find((each) => typeof each === "string");
  return reason ?? "";
}

function fieldOf(fields: unknown, name: string): unknown {
  return typeof fields === "object" && fields !== null ? Reflect.get(fields, name) : undefined;
}

/** A description in words is worth showing; one with a long run of key-like characters is not. */
function safeDescription(text: unknown): string {
  if (typeof text !== "string" || text.length > 300) return "";
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
  return codeOf(inner) ?? inner.name;
}
