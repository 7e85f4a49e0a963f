import type { Clock } from "../system/clock.ts";
import { MintError, type MintCode, type StartError } from "../system/errors.ts";
import { createBackoff, type Backoff } from "../tokens/backoff.ts";
import type { Rotation } from "../tokens/rotation.ts";
import type { AccountTokens } from "../tokens/account-tokens.ts";
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
  /** What verifies a new credential and puts it to use. */
  readonly tokens: Pick<AccountTokens, "prepareKey" | "prepareAccount">;
  readonly clock: Clock;
  readonly events: RotationEvents;
}

/** Rotates to each new content of the credential file. */
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
  /** Aborted when other content takes its place. */
  readonly superseded: AbortController;
  /** The credential, once the content has been parsed. */
  parsed: { readonly credential: Credential; readonly rotation: Rotation } | undefined;
  hasFailed: boolean;
}

/**
 * Creates a reloader. New content is parsed and verified, and used once it has a token for every
 * configured audience; the old credential stays in use until then. A refused credential is retried,
 * since a fresh key can take a minute to work at Google.
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
    setCandidate({
      content,
      backoff: createBackoff(clock),
      superseded: new AbortController(),
      parsed: undefined,
      hasFailed: false,
    });
    return attemptSoon();
  }

  function setCandidate(next: Candidate | undefined): void {
    candidate?.superseded.abort();
    candidate = next;
  }

  /** One attempt at a time; one that is asked for meanwhile follows. */
  function attemptSoon(): Promise<void> {
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
    if (tried.content.equals(currentContent)) return setCandidate(undefined);
    try {
      tried.parsed ??= prepare(options.parse(tried.content));
      const { credential, rotation } = tried.parsed;
      await rotation.verify(tried.superseded.signal);
      if (isClosed || candidate !== tried) return;
      rotation.use();
      setCandidate(undefined);
      const previous = current;
      current = credential;
      currentContent = tried.content;
      events.rotated(credential, previous);
    } catch (error) {
      if (candidate === tried) fail(tried, error instanceof Error ? error : new Error("unknown"));
    }
  }

  function prepare(credential: Credential): NonNullable<Candidate["parsed"]> {
    const { principal } = credential;
    // Unknown principals never match.
    const isSameAccount = principal !== "" && principal === current.principal;
    const rotation = isSameAccount
      ? tokens.prepareKey(credential)
      : tokens.prepareAccount(credential);
    return { credential, rotation };
  }

  function fail(tried: Candidate, error: Error): void {
    const isNew = !tried.hasFailed;
    tried.hasFailed = true;
    const isRefusal = error instanceof MintError;
    if (isRefusal && !isClosed) {
      // The old credential serves meanwhile, for as long as it takes.
      const pauseMs = tried.backoff.fail(error, Infinity);
      cancelRetry = clock.schedule(pauseMs, () => void attemptSoon());
    }
    events.rotationFailed({ outcome: isRefusal ? error.code : "invalid_file", error, isNew });
  }

  function reportUnreadable(error: StartError): void {
    cancelRetry();
    setCandidate(undefined);
    events.rotationFailed({ outcome: "invalid_file", error, isNew: true });
  }

  return {
    offer,
    reportUnreadable,
    retry: () => running ?? attemptSoon(),
    close: () => {
      isClosed = true;
      cancelRetry();
      candidate?.superseded.abort();
    },
  };
}
