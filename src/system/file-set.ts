import { lstat, mkdir, mkdtemp, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { StartError, systemReason } from "./errors.ts";

/** A file to write into a folder. */
export interface NewFile {
  readonly name: string;
  readonly text: string;
  readonly mode: number;
}

/**
 * Writes all files into a folder, which it creates if necessary, or none: throws a StartError that
 * names every file that exists, or the reason why it cannot write.
 */
export async function writeNewFiles(folder: string, files: readonly NewFile[]): Promise<void> {
  await refuseExisting(files.map(({ name }) => join(folder, name)));
  await writeAll(folder, files);
}

/**
 * Replaces files of a folder, each in one step. Throws if it cannot, a StartError if no file was
 * replaced.
 */
export async function replaceFiles(folder: string, files: readonly NewFile[]): Promise<void> {
  // On the same file system, and a new one each time: what a killed renewal leaves is not in the way.
  const fresh = await mkdtemp(join(folder, ".renewal-"));
  try {
    await writeAll(fresh, files);
    for (const { name } of files) await rename(join(fresh, name), join(folder, name));
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function refuseExisting(paths: readonly string[]): Promise<void> {
  const found = await Promise.all(
    paths.map(async (path) => {
      // A dangling link counts as existing.
      const exists = await lstat(path).then(
        () => true,
        () => false,
      );
      return exists ? [path] : [];
    }),
  );
  const inTheWay = found.flat();
  if (inTheWay.length > 0) {
    throw new StartError(`nothing written, because these files exist: ${inTheWay.join(", ")}`);
  }
}

async function writeAll(folder: string, files: readonly NewFile[]): Promise<void> {
  const written: string[] = [];
  try {
    await mkdir(folder, { recursive: true });
    for (const { name, text, mode } of files) {
      const path = join(folder, name);
      await using file = await open(path, "wx", mode);
      written.push(path);
      await file.writeFile(text);
    }
  } catch (cause) {
    await Promise.all(written.map((path) => rm(path, { force: true })));
    throw new StartError(`nothing written: ${systemReason(cause)}`, { cause });
  }
}
