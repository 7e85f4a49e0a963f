import { isSea } from "node:sea";

/** How long an idle process may take to end by itself. */
const GRACE_MS = 100;

/**
 * Ends this process with an exit code, whatever its threads do. A read from a volume that does not
 * answer, or a question to a silent DNS server, holds a thread that cannot be cancelled, and Node's
 * own exit would wait for it. So the process is left to end by itself; if something keeps it
 * running, another program replaces it, which ends all threads, and returns the exit code. Of
 * several calls, the first with a code other than 0 counts.
 */
export function endProcess(code: number): void {
  process.exitCode ||= code;
  setTimeout(() => replaceProcess(Number(process.exitCode)), GRACE_MS).unref();
}

function replaceProcess(code: number): void {
  const { execPath } = process;
  // Not on Windows.
  if (!("execve" in process)) process.exit(code);
  // Its listeners end child processes; execve alone does not call them.
  process.emit("exit", code);
  // A single executable takes no options of Node's.
  if (isSea()) process.execve("/bin/sh", ["sh", "-c", `exit ${code}`], {});
  process.execve(execPath, [execPath, "--eval", `process.exitCode = ${code}`], {});
}
