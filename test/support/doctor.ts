import { runMain } from "./server-process.ts";

export interface DoctorRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Each check's mark and text by the check's name, as in `lines.dns`. */
  readonly lines: Readonly<Record<string, string>>;
  /** The marks of all lines in order. */
  readonly marks: string;
}

/** Runs `doctor` to its end. */
export async function runDoctor(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<DoctorRun> {
  const { code, stdout, stderr } = await runMain(["doctor", ...args], env);
  const report = args.includes("--print-token") ? stderr : stdout;
  const found = [...report.matchAll(/^(\S) (\S+) +(.*)$/gm)];
  return {
    code,
    stdout,
    stderr,
    lines: Object.fromEntries(found.map(([, mark, name, text]) => [name, `${mark} ${text}`])),
    marks: found.map(([, mark]) => mark).join(""),
  };
}
