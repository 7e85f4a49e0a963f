import type { ServerContext } from "../../src/server/context.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";

/** What a server needs of its process, for a test: a clock that stands still, and its log. */
export interface TestContext extends ServerContext {
  readonly clock: FakeClock;
  readonly lines: { readonly event: string }[];
}

/** Creates such a context. */
export function createContext(env: NodeJS.ProcessEnv = {}): TestContext {
  const lines: { event: string }[] = [];
  const log = createLogger("debug", { write: (line) => lines.push(JSON.parse(line)) });
  return { env, clock: createFakeClock(Date.now()), log, lines };
}
