import { readBounded } from "../system/bounded-body.ts";
import { fetchLightly, type Fetch, type FetchAnswer, type FetchInit } from "../system/fetch.ts";
import { codeOf, MintError } from "../system/errors.ts";
import { parseErrorAnswer } from "./error-answer.ts";

/** The server that a request goes to. */
export interface Peer {
  /** Its name in messages, as in "the token endpoint". */
  readonly name: string;
  /** What to do about a refusal; an empty text if there is no specific advice. */
  readonly remedy?: (refused: RefusedRequest) => string;
  /** What to do when it cannot be reached. */
  readonly absence?: string;
  /** For a peer that needs connections of its own. */
  readonly fetch?: Fetch | undefined;
}

/** A refusal as OAuth or Google's APIs describe it. */
export interface RefusedRequest {
  readonly status: number;
  /** As in `invalid_grant` or `PERMISSION_DENIED`. */
  readonly code: string;
  /** `ErrorInfo.reason` of Google's APIs, as in `SERVICE_DISABLED`; empty if there is none. */
  readonly reason: string;
}

/** A complete answer of any status. */
export interface Answer {
  readonly status: number;
  readonly headers: FetchAnswer["headers"];
  readonly body: string;
  /** The peer's clock (its `Date` header) in milliseconds; undefined without a valid one. */
  readonly issuerNowMs: number | undefined;
}

const TOKEN_ENDPOINT: Peer = { name: "the token endpoint" };
/** Real answers are about 1.5 KB. */
const MAX_ANSWER_BYTES = 65_536;
/** Refusals of the request, not of the credential (RFC 6749, section 5.2; RFC 8707, section 2). */
const REQUEST_ERRORS = new Set([
  "invalid_request",
  "invalid_scope",
  "invalid_target",
  "INVALID_ARGUMENT",
]);
/** Statuses with which OAuth and Google's APIs refuse (RFC 6749, section 5.2; RFC 7523). */
const REFUSAL_STATUSES = new Set([400, 401, 403, 404]);

/**
 * Posts a form to the token endpoint, once: follows no redirect, does not retry, and reads a
 * bounded answer. Throws a MintError: its code distinguishes refusals from failures that may pass,
 * and its message contains nothing of the request, even if the endpoint echoes it.
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

/** Posts JSON; otherwise like `postForm`. */
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
 * Sends one request, once, without following redirects, and reads the answer, whatever its status.
 * Throws a MintError if the answer is incomplete or too long.
 */
export async function send(
  url: URL,
  init: Pick<FetchInit, "method" | "headers" | "body">,
  signal: AbortSignal,
  peer: Peer,
): Promise<Answer> {
  try {
    const response = await (peer.fetch ?? fetchLightly)(url, {
      ...init,
      redirect: "manual",
      signal,
    });
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
    const networkCode = networkReason(cause);
    const message = withHint(`no answer from ${url.host}: ${networkCode}`, peer.absence);
    throw new MintError("mint_unavailable", message, { networkCode });
  }
}

/** Returns an answer with status 200. Throws a MintError for any other. */
export function requireOk(answer: Answer, peer: Peer): Answer {
  if (answer.status !== 200) throw toMintError(answer, peer);
  return answer;
}

function toMintError({ status, headers, body, issuerNowMs }: Answer, peer: Peer): MintError {
  const { code, reason, description } = parseErrorAnswer(body);
  if (code !== undefined && REFUSAL_STATUSES.has(status)) {
    const shown = description === undefined ? "" : ` (${description})`;
    const remedy = peer.remedy?.({ status, code, reason });
    return new MintError(
      "mint_rejected",
      withHint(`${peer.name} refused: ${code}${shown}`, remedy),
      { issuerNowMs, ofCredential: !REQUEST_ERRORS.has(code), peerCode: code, description },
    );
  }
  const message = `${peer.name} answered ${status}`;
  if (status === 429 || status >= 500) {
    const retryAfterMs = parseRetryAfter(headers.get("retry-after"), issuerNowMs);
    return new MintError("mint_unavailable", message, { issuerNowMs, retryAfterMs });
  }
  return new MintError("mint_invalid_answer", message, { issuerNowMs });
}

function withHint(message: string, hint = ""): string {
  return hint === "" ? message : `${message}: ${hint}`;
}

/** Parses `Retry-After` (RFC 9110, section 10.2.3), seconds or a date; 0 for anything else. */
function parseRetryAfter(value: string | null | undefined, issuerNowMs = Date.now()): number {
  if (typeof value !== "string") return 0;
  const waitMs = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - issuerNowMs;
  return Math.max(0, Number.isNaN(waitMs) ? 0 : waitMs);
}

/** The system's name for a network failure; it contains hosts and ports and nothing secret. */
function networkReason(cause: unknown): string {
  const inner = cause instanceof Error ? (cause.cause ?? cause) : undefined;
  if (!(inner instanceof Error)) return "unknown failure";
  return codeOf(inner) ?? inner.name;
}
