import { codeOf } from "./errors.ts";

/** Where a command writes. */
export interface StandardStreams {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/**
 * Creates a process's output. `onFailure` is called when standard output cannot be written, which
 * is reported on standard error unless its reader is gone, as in `| head`. A failure of standard
 * error is ignored: there is nowhere left to report it.
 */
export function createStandardStreams(
  process: Pick<NodeJS.Process, "stdout" | "stderr">,
  onFailure: () => void,
): StandardStreams {
  // Node opens each on first use; the server writes its log without them.
  const streams: Partial<Record<"stdout" | "stderr", NodeJS.WriteStream>> = {};
  const stderr = () => (streams.stderr ??= process.stderr.on("error", () => {}));
  const stdout = () => (streams.stdout ??= process.stdout.on("error", fail));

  function fail(error: Error): void {
    if (codeOf(error) !== "EPIPE") stderr().write(`standard output: ${error.message}\n`);
    onFailure();
  }

  return {
    stdout: (text) => void stdout().write(text),
    stderr: (text) => void stderr().write(text),
  };
}
