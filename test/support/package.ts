import { chmod, mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { runCommand } from "./command.ts";
import { ROOT } from "./server-process.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

/** The package as a user has it: packed and installed into an empty folder. */
export interface InstalledPackage extends AsyncDisposable {
  readonly folder: string;
  /** The environment of a shell in that folder, without this project's variables and npm's. */
  readonly env: NodeJS.ProcessEnv;
  /** Runs a program in that folder to its end. Rejects when it fails. */
  readonly run: (file: string, args: readonly string[]) => Promise<string>;
}

/** Packs and installs it with the npm of this machine, on the Node of this machine. */
export async function installPackage(): Promise<InstalledPackage> {
  await using parts = new AsyncDisposableStack();
  const { path } = parts.use(await makeTemporaryFolder());
  const env = hostEnvironment();
  const pack = ["pack", "--silent", `--pack-destination=${path}`];
  const tarball = (await runCommand("npm", pack, { cwd: ROOT, env })).trim().split("\n").at(-1);
  const folder = join(path, "empty");
  await mkdir(folder);
  const run = (file: string, args: readonly string[]) =>
    runCommand(file, args, { cwd: folder, env });
  await run("npm", ["install", "--prefer-offline", join(path, tarball ?? "")]);
  const all = parts.move();
  return { folder, env, run, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

const OF_NPM_SCRIPT =
  /^(npm_(package_|lifecycle_|command$|execpath$|config_local_prefix$)|INIT_CWD$)/;

/** The environment without what npm sets for the script that runs the tests. */
function hostEnvironment(): NodeJS.ProcessEnv {
  const { PATH = "", ...others } = process.env;
  const entries = Object.entries(others).filter(([name]) => !OF_NPM_SCRIPT.test(name));
  const folders = PATH.split(delimiter).filter((each) => !each.endsWith("node_modules/.bin"));
  return { ...Object.fromEntries(entries), PATH: folders.join(delimiter) };
}

/** Writes an executable shell script. */
export async function writeScript(path: string, script: string): Promise<void> {
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}
