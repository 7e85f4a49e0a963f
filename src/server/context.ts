import type { EnvoyStatus } from "../envoy/supervisor.ts";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../telemetry/logger.ts";

/** What a server needs of its process. */
export interface ServerContext {
  /** Where credentials look for their own variables, as in GCE_METADATA_HOST. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly log: Logger;
  /** The Envoy that runs with the server as one, for health and metrics. */
  readonly envoy?: EnvoyStatus | undefined;
}
