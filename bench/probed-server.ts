import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { startServer, type ServerProcess } from "../test/support/server-process.ts";
import type { Reading } from "./runtime-probe.ts";

const PROBE = pathToFileURL(join(import.meta.dirname, "runtime-probe.ts"));

export interface ProbedServer extends AsyncDisposable {
  readonly server: ServerProcess;
  /** Runs its garbage collection and resolves with its measurements. */
  readonly read: () => Promise<Reading>;
}

/** Starts `serve` with the probe loaded. */
export async function startProbedServer(flags: readonly string[]): Promise<ProbedServer> {
  const server = await startServer(flags, { NODE_OPTIONS: `--expose-gc --import=${PROBE.href}` });
  let readings = 0;
  return {
    server,
    read: async () => {
      readings += 1;
      const wanted = readings;
      server.signal("SIGUSR2");
      const line: unknown = await server.line(({ probe }) => probe === wanted);
      return line as Reading;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
