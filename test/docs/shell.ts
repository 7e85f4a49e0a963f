import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

/** A program that a command block ran, as the shell started it. */
export interface Invocation {
  readonly program: string;
  readonly args: readonly string[];
  /** The environment variables that the blocks so far had set, and no others. */
  readonly env: Readonly<Record<string, string>>;
}

export interface RecordingShell extends AsyncDisposable {
  /** Where the blocks run. */
  readonly folder: string;
  /** Runs a block of commands and resolves with what it started, in order. Rejects if it fails. */
  readonly run: (block: string) => Promise<readonly Invocation[]>;
  /** What printed a file of the folder, if a recorded program did. */
  readonly printedBy: (file: string) => Promise<Invocation | undefined>;
}

/** Notes how it was started, and prints the number of its note. */
const RECORDER = `#!/bin/bash
shopt -s nullglob
notes=("$NOTES"/*.args)
n=\${#notes[@]}
printf '%s\\0' "\${0##*/}" "$@" >"$NOTES/$(printf %04d "$n").args"
while IFS= read -r name; do printf '%s=%s\\0' "$name" "\${!name}"; done \\
  < <(compgen -e) >"$NOTES/$(printf %04d "$n").env"
echo "note $n"
`;

/**
 * Opens a real shell in a folder of its own in which none but the named programs exist, and those
 * only note how they were started: the shell's own quoting, variables and redirections are those of
 * its user. \`files\` are there from the start.
 */
export async function openRecordingShell(
  programs: readonly string[],
  files: Readonly<Record<string, string>>,
): Promise<RecordingShell> {
  const temporary = await makeTemporaryFolder();
  const at = (name: string) => join(temporary.path, name);
  await Promise.all(["bin", "notes", "work"].map((name) => mkdir(at(name))));
  await writeFile(at("recorder"), RECORDER, { mode: 0o755 });
  await Promise.all(programs.map((program) => symlink(at("recorder"), at(`bin/${program}`))));
  await symlink("/bin/cat", at("bin/cat"));
  for (const [name, content] of Object.entries(files)) await writeFile(at(`work/${name}`), content);
  const own = { PATH: at("bin"), NOTES: at("notes"), HOME: at("work") };
  const notes: Invocation[] = [];

  async function readNote(number: number): Promise<Invocation | undefined> {
    const name = at(`notes/${String(number).padStart(4, "0")}`);
    const args = await readFile(`${name}.args`, "utf8").catch(() => undefined);
    if (args === undefined) return undefined;
    const [program = "", ...rest] = args.split("\0").slice(0, -1);
    const variables = (await readFile(`${name}.env`, "utf8")).split("\0").slice(0, -1);
    const ignored = new Set([...Object.keys(own), "PWD", "OLDPWD", "SHLVL", "_"]);
    const pairs = variables
      .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)] as const)
      .filter(([variable]) => !ignored.has(variable));
    return { program, args: rest, env: Object.fromEntries(pairs) };
  }

  return {
    folder: at("work"),
    run: async (block) => {
      const shell = spawn("/bin/bash", ["-euo", "pipefail", "-c", block], {
        cwd: at("work"),
        env: own,
        stdio: ["ignore", "pipe", "pipe"],
      });
      const output = Promise.all([text(shell.stdout), text(shell.stderr)]);
      const [code] = (await once(shell, "close")) as [number | null];
      const [, errors] = await output;
      if (code !== 0) throw new Error(`the shell ended with ${code}: ${errors}\n${block}`);
      const first = notes.length;
      for (
        let note = await readNote(first);
        note !== undefined;
        note = await readNote(notes.length)
      ) {
        notes.push(note);
      }
      return notes.slice(first);
    },
    printedBy: async (file) => {
      const printed = await readFile(join(at("work"), file), "utf8").catch(() => "");
      const number = /^note (\d+)\n$/.exec(printed)?.[1];
      return number === undefined ? undefined : notes[Number(number)];
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}
