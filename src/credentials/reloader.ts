import type { Clock } from "../system/clock.ts";
import type { Credential, CredentialFile } from "./credential.ts";
import { MintError, type MintCode } from "../system/errors.ts";
import { createBackoff, type Backoff } from "../tokens/backoff.ts";
import type { IdToken } from "../tokens/id-token.ts";

export type SwapOutcome = "ok" | "invalid_file" | MintCode;

export interface SwapEvents {
  readonly swapped: (credential: Credential, previous: Credential) => void;
  readonly swapFailed: (failure: {
    readonly outcome: SwapOutcome;
    readonly error: Error;
    /** Whether this content of the file fails for the first time. */
    readonly isNew: boolean;
  }) => void;
}

export interface CredentialReloaderOptions {
  /** Reads the file. Rejects with a StartError when it cannot be read. */
  readonly read: () => Promise<CredentialFile>;
  /** What is in use at first, and the content that it came from. */
  readonly initial: Credential;
  readonly initialFingerprint: string;
  /** Mints one token with a new credential. Rejects with a MintError. */
  readonly prove: (credential: Credential) => Promise<IdToken>;
  /** Puts a proven credential to use. */
  readonly tokens: {
    readonly useKey: (mint: Credential["mint"]) => void;
    readonly useAccount: (mint: Credential["mint"], first: IdToken) => Promise<void>;
  };
  readonly clock: Clock;
  readonly events: SwapEvents;
}

export interface CredentialReloader {
  /**
   * Reads the file and, where it holds something new, proves it and switches to it. What failed
   * is left alone until its pause is over, unless `insist` is set. Never rejects.
   */
  readonly reload: (insist?: boolean) => Promise<void>;
  readonly close: () => void;
}

/** A content of the file that could not be used. */
interface Failure {
  readonly fingerprint: string;
  /** Of the mints that verify it; undefined while its content does not even parse. */
  backoff: Backoff | undefined;
  /** Look at it again, changed or not. */
  isInsisted: boolean;
}

/** The fingerprint of a file that cannot be read. */
const UNREADABLE = "";

/**
 * Keeps the credential in step with its file: what is new is parsed, then proven by a mint, and
 * only then used. What fails leaves the old one in use. One that was refused is tried again,
 * since a fresh key can take a minute to work at Google.
 */
export function createCredentialReloader(options: CredentialReloaderOptions): CredentialReloader {
  const { clock, events, tokens } = options;
  let current = options.initial;
  let fingerprint = options.initialFingerprint;
  let failed: Failure | undefined;
  let running: Promise<void> | undefined;
  let askedAgain = false;
  let closed = false;
  let cancelRetry = () => {};

  function reload(insist = false): Promise<void> {
    if (insist && failed !== undefined) failed.isInsisted = true;
    askedAgain = true;
    running ??= runWhileAsked();
    return running;
  }

  async function runWhileAsked(): Promise<void> {
    while (askedAgain) {
      askedAgain = false;
      if (!closed) await tryFile();
    }
    running = undefined;
  }

  async function tryFile(): Promise<void> {
    let found = UNREADABLE;
    try {
      const file = await options.read();
      found = file.fingerprint;
      if (found === fingerprint) forget();
      else if (!isPausing(found)) await switchTo(file.parse(), found);
    } catch (error) {
      if (!isPausing(found)) fail(found, error instanceof Error ? error : new Error("unknown"));
    }
  }

  async function switchTo(next: Credential, nextFingerprint: string): Promise<void> {
    const proof = await options.prove(next);
    if (closed) return;
    const previous = current;
    // An account that nobody has named is never the same as another.
    const same = next.principal !== "" && next.principal === previous.principal;
    if (same) tokens.useKey(next.mint);
    else await tokens.useAccount(next.mint, proof);
    current = next;
    fingerprint = nextFingerprint;
    forget();
    events.swapped(next, previous);
  }

  function isPausing(content: string): boolean {
    if (content !== failed?.fingerprint || failed.isInsisted) return false;
    // A content that does not parse stays so until it changes.
    return failed.backoff === undefined || failed.backoff.leftMs() > 0;
  }

  function fail(content: string, error: Error): void {
    const isNew = content !== failed?.fingerprint;
    const refused = error instanceof MintError;
    const backoff = (isNew ? undefined : failed?.backoff) ?? createBackoff(clock);
    failed = { fingerprint: content, backoff: refused ? backoff : undefined, isInsisted: false };
    cancelRetry();
    // The old credential serves meanwhile, for as long as it takes.
    const pauseMs = refused ? backoff.fail(error, Infinity) : Infinity;
    if (refused && !closed) cancelRetry = clock.schedule(pauseMs, () => void reload());
    events.swapFailed({ outcome: refused ? error.code : "invalid_file", error, isNew });
  }

  function forget(): void {
    failed = undefined;
    cancelRetry();
  }

  return {
    reload,
    close: () => {
      closed = true;
      cancelRetry();
    },
  };
}
