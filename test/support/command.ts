import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Runs a program to its end and resolves with its standard output. Rejects when it fails. */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<string> {
  const { stdout } = await execute(file, args, { maxBuffer: 16 * 1024 * 1024, ...options });
  return stdout;
}
