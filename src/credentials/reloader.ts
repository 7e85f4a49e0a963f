import type { Clock } from "../system/clock.ts";
import { MintError, type MintCode, type StartError } from "../system/errors.ts";
import { createBackoff, type Backoff } from "../tokens/backoff.ts";
import type { IdToken } from "../tokens/id-token.ts";
import type { Credential } from "./credential.ts";

/** How an attempt to rotate to new content of the credential file ended. */
export type RotationOutcome = "ok" | "invalid_file" | MintCode;

/** What the reloader reports. */
export interface RotationEvents {
  readonly rotated: (credential: Credential, previous: Credential) => void;
  readonly rotationFailed: (failure: {
    readonly outcome: RotationOutcome;
    readonly error: Error;
    /** Whether this content of the file fails for the first time. */
    readonly isNew: boolean;
  }) => void;
}

export interface CredentialReloaderOptions {
  /** The credential in use at first, and the content that it was parsed from. */
  readonly initial: Credential;
  readonly initialContent: Buffer;
  /** Parses content of the file. Throws a StartError of one line. */
  readonly parse: (content: Buffer) => Credential;
  /** Mints one token with a new credential. Rejects with a MintError. */
  readonly verify: (credential: Credential) => Promise<IdToken>;
  /** Puts a verified credential to use. */
  readonly tokens: {
    readonly useKey: (mint: Credential["mint"]) => void;
    readonly useAccount: (mint: Credential["mint"], first: IdToken) => Promise<void>;
  };
  readonly clock: Clock;
  readonly events: RotationEvents;
}

/** Rotates to what the credential file comes to hold. */
export interface CredentialReloader {
  /** Takes new content of the file. Resolves after the first attempt to use it; never rejects. */
  readonly offer: (content: Buffer) => Promise<void>;
  /** Reports that the file cannot be read; the credential in use stays. */
  readonly reportUnreadable: (error: StartError) => void;
  /** Retries content that failed, now instead of after its pause. Never rejects. */
  readonly retry: () => Promise<void>;
  /** Ends the retries. */
  readonly close: () => void;
}

/** Content of the file that is not in use yet. */
interface Candidate {
  readonly content: Buffer;
  readonly backoff: Backoff;
  hasFailed: boolean;
}

/**
 * Creates a reloader. New content is parsed, verified by a mint, and only then used; the old
 * credential stays in use when one of these fails. A refused credential is retried, since a fresh
 * key can take a minute to work at Google.
 */
export function createCredentialReloader(options: CredentialReloaderOptions): CredentialReloader {
  const { clock, events, tokens } = options;
  let current = options.initial;
  let currentContent = options.initialContent;
  let candidate: Candidate | undefined;
  let running: Promise<void> | undefined;
  let isAsked = false;
  let isClosed = false;
  let cancelRetry = () => {};

  function offer(content: Buffer): Promise<void> {
    candidate = { content, backoff: createBackoff(clock), hasFailed: false };
    return retry();
  }

  function retry(): Promise<void> {
    cancelRetry();
    isAsked = true;
    running ??= attemptWhileAsked();
    return running;
  }

  async function attemptWhileAsked(): Promise<void> {
    while (isAsked) {
      isAsked = false;
      if (candidate !== undefined && !isClosed) await attempt(candidate);
    }
    running = undefined;
  }

  async function attempt(tried: Candidate): Promise<void> {
    if (tried.content.equals(currentContent)) {
      candidate = undefined;
      return;
    }
    try {
      const next = options.parse(tried.content);
      const token = await options.verify(next);
      if (isClosed || candidate !== tried) return;
      await rotate(next, token, tried);
    } catch (error) {
      if (candidate === tried) fail(tried, error instanceof Error ? error : new Error("unknown"));
    }
  }

  async function rotate(next: Credential, token: IdToken, tried: Candidate): Promise<void> {
    const previous = current;
    // Unknown principals never match.
    const isSameAccount = next.principal !== "" && next.principal === previous.principal;
    if (isSameAccount) tokens.useKey(next.mint);
    else await tokens.useAccount(next.mint, token);
    current = next;
    currentContent = tried.content;
    if (candidate === tried) candidate = undefined;
    events.rotated(next, previous);
  }

  function fail(tried: Candidate, error: Error): void {
    const isNew = !tried.hasFailed;
    tried.hasFailed = true;
    const isRefusal = error instanceof MintError;
    if (isRefusal && !isClosed) {
      // The old credential serves meanwhile, for as long as it takes.
      const pauseMs = tried.backoff.fail(error, Infinity);
      cancelRetry = clock.schedule(pauseMs, () => void retry());
    }
    events.rotationFailed({ outcome: isRefusal ? error.code : "invalid_file", error, isNew });
  }

  function reportUnreadable(error: StartError): void {
    cancelRetry();
    candidate = undefined;
    events.rotationFailed({ outcome: "invalid_file", error, isNew: true });
  }

  return {
    offer,
    reportUnreadable,
    retry,
    close: () => {
      isClosed = true;
      cancelRetry();
    },
  };
}
