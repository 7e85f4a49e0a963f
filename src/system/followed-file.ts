import { createHash } from "node:crypto";
import type { Clock, Instant } from "./clock.ts";
import { elapsedMs } from "./clock.ts";
import { StartError } from "./errors.ts";
import { showPath } from "./show.ts";
import { readAgain, readOnce, type FileContent } from "./small-file.ts";
import { watchFile } from "./watch-file.ts";

/** What becomes of a followed file. */
export interface FileEvents {
  /** Its content has changed, or it can be read again. */
  readonly changed: (bytes: Buffer) => void;
  /** It cannot be read, for a reason not reported a moment ago. */
  readonly unreadable: (error: StartError) => void;
}

/** A small file that the program reads at its start and again after each change. */
export interface FollowedFile {
  readonly path: string;
  /** What it held first. */
  readonly initial: Buffer;
  /** False for what can be read only once, such as a pipe: no change of it is ever reported. */
  readonly isFollowed: boolean;
  /** Starts the watch. To be called once. */
  readonly follow: (events: FileEvents) => void;
  /** Looks at the file now. Resolves when what it found has been reported; never rejects. */
  readonly look: () => Promise<void>;
  /** Ends the watch; nothing is reported afterwards. */
  readonly close: () => void;
}

/** How long a read may take before it is reported; the volume may not answer. */
const SLOW_READ_MS = 9_000;

/**
 * Reads a file for the first time; `what` names its content in messages, as in "the check secret".
 * Rejects with a StartError of one line. Changes are found by the system's events and by polling,
 * also where Kubernetes replaces the link to the file's folder. One read is made at a time: a
 * change that comes meanwhile is read after it.
 */
export async function openFollowedFile(
  path: string,
  what: string,
  clock: Clock,
  read: (path: string, what: string) => Promise<FileContent> = readAgain,
): Promise<FollowedFile> {
  const { bytes: initial, canReadAgain } = await readOnce(path, what);
  let reported = fingerprintOf(initial);
  let events: FileEvents | undefined;
  let unwatch = () => {};
  let startedAt: Instant | undefined;
  let running: Promise<void> | undefined;
  let askedAgain = false;

  function report(fingerprint: string, notify: (to: FileEvents) => void): void {
    if (events === undefined || fingerprint === reported) return;
    reported = fingerprint;
    notify(events);
  }

  function reportFault(error: StartError): void {
    report(error.message, ({ unreadable }) => unreadable(error));
  }

  async function readAndReport(): Promise<void> {
    startedAt = clock.now();
    try {
      const { bytes } = await read(path, what);
      report(fingerprintOf(bytes), ({ changed }) => changed(bytes));
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      reportFault(error);
    } finally {
      startedAt = undefined;
    }
  }

  async function readWhileAsked(): Promise<void> {
    while (askedAgain) {
      askedAgain = false;
      await readAndReport();
    }
    running = undefined;
  }

  async function look(): Promise<void> {
    if (!canReadAgain || events === undefined) return;
    if (startedAt !== undefined && elapsedMs(startedAt, clock.now()) > SLOW_READ_MS) {
      reportFault(new StartError(`${showPath(path)}: ${what} cannot be read: no answer yet`));
    }
    askedAgain = true;
    running ??= readWhileAsked();
    await running;
  }

  return {
    path,
    initial,
    isFollowed: canReadAgain,
    follow: (listeners) => {
      events = listeners;
      if (canReadAgain) unwatch = watchFile(path, clock, () => void look());
    },
    look,
    close: () => {
      events = undefined;
      unwatch();
    },
  };
}

/** Compares contents without keeping a copy of a secret. */
function fingerprintOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("base64");
}
