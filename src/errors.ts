/** Every code that an answer, a log line or a metric of this program can carry. */
export type RefusalCode = "audience_missing" | "audience_not_allowed" | "check_secret_wrong";
export type MintCode =
  | "mint_rejected"
  | "mint_unavailable"
  | "mint_timeout"
  | "mint_invalid_answer";

/** A check that must not get a token: the caller asked for what the operator did not allow. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * No token could be had. The message is safe to log: whoever throws it leaves tokens, assertions
 * and keys out.
 */
export class MintError extends Error {
  override readonly name = "MintError";
  readonly code: MintCode;
  /** How long the token endpoint asked to be left alone (`Retry-After`), in milliseconds. */
  readonly retryAfterMs: number;

  constructor(
    code: MintCode,
    message: string,
    options: ErrorOptions & { retryAfterMs?: number } = {},
  ) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }

  /** Asking again soon is pointless: the credential itself was refused. */
  get permanent(): boolean {
    return this.code === "mint_rejected";
  }
}

/** Could not do it (exit code 1). The message is all that a person is shown. */
export class StartError extends Error {
  override readonly name: string = "StartError";
}

/** Wrong usage or configuration (exit code 2): one line a fault, all of them at once. */
export class UsageError extends StartError {
  override readonly name = "UsageError";

  constructor(faults: readonly string[]) {
    super(faults.join("\n"));
  }
}
