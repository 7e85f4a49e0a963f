import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./command.ts";

/** A module that exists only on this proxy. */
export const MODULE = "private.example.com/greeting";
export const VERSION = "v1.2.3";

const GO_MOD = `module ${MODULE}\n\ngo 1.21\n`;
const SOURCE = 'package greeting\n\n// Text is what the program prints.\nconst Text = "hello"\n';

/** Writes the files of a Go module proxy with one small module. */
export async function writeModuleProxy(folder: string): Promise<void> {
  const files = join(folder, MODULE, "@v");
  const root = `${MODULE}@${VERSION}`;
  const source = join(folder, "source", root);
  await mkdir(files, { recursive: true });
  await mkdir(source, { recursive: true });
  await writeFile(join(source, "go.mod"), GO_MOD);
  await writeFile(join(source, "greeting.go"), SOURCE);
  await writeFile(join(files, "list"), `${VERSION}\n`);
  const info = { Version: VERSION, Time: "2026-01-01T00:00:00Z" };
  await writeFile(join(files, `${VERSION}.info`), JSON.stringify(info));
  await writeFile(join(files, `${VERSION}.mod`), GO_MOD);
  const zip = ["-c", "import shutil, sys; shutil.make_archive(*sys.argv[1:])"];
  const archive = [join(files, VERSION), "zip", join(folder, "source"), root];
  await runCommand("python3", [...zip, ...archive]);
}
