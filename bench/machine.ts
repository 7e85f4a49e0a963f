import { execFile } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { promisify } from "node:util";
import { findEnvoy } from "../test/support/envoy-binary.ts";

const run = promisify(execFile);

/** Describes the date, the machine and the versions of a run in one sentence. */
export async function describeMachine(): Promise<string> {
  const { stdout } = await run(await findEnvoy(), ["--version"]);
  const envoy = /\/(\d+\.\d+\.\d+)\//.exec(stdout)?.[1] ?? "of an unknown version";
  const date = new Date().toISOString().slice(0, 10);
  const [load = 0] = loadavg();
  const cores = `${cpus().length} cores of ${cpus()[0]?.model ?? "an unknown processor"}`;
  const versions = `Node ${process.versions.node}, Envoy ${envoy}`;
  return `${date}, ${cores}, ${versions}, load average at the start ${load.toFixed(1)}.`;
}
