import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The contents of files, by their names. */
export type Files = Readonly<Record<string, string>>;

/** Replaces files of a folder, each in one step, so that no reader meets half of one. */
export async function replaceFiles(folder: string, files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await writeFile(`${path}.new`, content, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }
}
