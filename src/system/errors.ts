import { getSystemErrorMessage } from "node:util";

/** Codes of answers, log lines and metrics. */
export type RefusalCode =
  | "audience_missing"
  | "audience_not_allowed"
  | "caller_not_allowed"
  | "check_secret_wrong";
export const MINT_CODES = [
  "mint_rejected",
  "mint_unavailable",
  "mint_timeout",
  "mint_invalid_answer",
] as const;
export type MintCode = (typeof MINT_CODES)[number];
export type PushCode = "push_malformed" | "push_too_large";

export interface MintErrorOptions extends ErrorOptions {
  readonly retryAfterMs?: number;
  readonly issuerNowMs?: number | undefined;
  readonly ofCredential?: boolean;
  readonly peerCode?: string | undefined;
  readonly description?: string | undefined;
  readonly networkCode?: string | undefined;
}

/**
 * No token could be minted. The message is safe to log: code that throws it leaves out tokens,
 * assertions and keys.
 */
export class MintError extends Error {
  override readonly name = "MintError";
  readonly code: MintCode;
  /** How long the token endpoint asked to be left alone (`Retry-After`), in milliseconds. */
  readonly retryAfterMs: number;
  /** The issuer's clock (its `Date` header) when it answered, in milliseconds, if it sent one. */
  readonly issuerNowMs: number | undefined;
  /** Whether the credential itself was refused, whatever the audience. */
  readonly ofCredential: boolean;
  /** The peer's own error code, as in `invalid_grant` or `PERMISSION_DENIED`. */
  readonly peerCode: string | undefined;
  /** The peer's description of its error, if it is safe to show. */
  readonly description: string | undefined;
  /** Why there was no answer, as in `ENOTFOUND`. */
  readonly networkCode: string | undefined;

  constructor(code: MintCode, message: string, options: MintErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? 0;
    this.issuerNowMs = options.issuerNowMs;
    this.ofCredential = options.ofCredential ?? false;
    this.peerCode = options.peerCode;
    this.description = options.description;
    this.networkCode = options.networkCode;
  }

  /** Retrying soon is pointless: the credential or the request was refused. */
  get permanent(): boolean {
    return this.code === "mint_rejected";
  }
}

/** The command failed (exit code 1). The message is all that is shown. */
export class StartError extends Error {
  override readonly name: string = "StartError";
}

/** Wrong usage or configuration (exit code 2). All errors are reported together, one a line. */
export class UsageError extends StartError {
  override readonly name = "UsageError";

  constructor(errors: readonly string[]) {
    super(errors.join("\n"));
  }
}

/** The code of an error of Node.js or the system, such as `ENOENT`; undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  const hasCode = typeof error === "object" && error !== null && "code" in error;
  return hasCode && typeof error.code === "string" ? error.code : undefined;
}

/** Why the system refused something, with the path that it is about, but no code or system call. */
export function systemReason(error: unknown): string {
  // Of a name with several addresses.
  if (error instanceof AggregateError) return systemReason(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  if (!("errno" in error) || typeof error.errno !== "number") return error.message;
  const reason = getSystemErrorMessage(error.errno) ?? error.message;
  return "path" in error && typeof error.path === "string" ? `${error.path}: ${reason}` : reason;
}
