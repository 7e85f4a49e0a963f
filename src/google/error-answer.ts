/** An error as OAuth or Google's APIs write it. */
export interface ErrorAnswer {
  /** As in `invalid_grant` or `PERMISSION_DENIED`; undefined if the body is neither kind. */
  readonly code: string | undefined;
  /** `ErrorInfo.reason` of Google's APIs; empty if there is none. */
  readonly reason: string;
  /** The peer's description, if it is safe to show. */
  readonly description: string | undefined;
}

/** Parses an error of OAuth (RFC 6749, section 5.2) or of Google's APIs (AIP-193). */
export function parseErrorAnswer(body: string): ErrorAnswer {
  let fields: unknown;
  try {
    fields = JSON.parse(body);
  } catch {
    // It is of neither kind.
  }
  const error = fieldOf(fields, "error");
  const isOAuth = typeof error === "string";
  const code = isOAuth ? error : fieldOf(error, "status");
  if (typeof code !== "string" || !/^\w{1,64}$/.test(code)) {
    return { code: undefined, reason: "", description: undefined };
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

/** Shows a description in words, and not one with a long run of key-like characters. */
function safeDescription(text: unknown): string | undefined {
  if (typeof text !== "string" || text.length > 300) return undefined;
  if (!/^[\x20-\x7e]+$/.test(text) || /[\w+/=.%-]{40,}|eyJ/.test(text)) return undefined;
  return text;
}
