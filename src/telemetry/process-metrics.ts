import { collectDefaultMetrics, Counter, Gauge, type Registry } from "prom-client";
import type { EnvoyStatus } from "../envoy/supervisor.ts";

/** Gauges whose names end as a counter's; each is the sum of one that has a label per type. */
const MISNAMED = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** Adds the process's own metrics. */
export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
}

/** Adds the metrics of an Envoy that runs with the server as one. */
export function createEnvoyMetrics(registry: Registry, { state, restarts }: EnvoyStatus): void {
  const up: Gauge = new Gauge({
    name: "idtoken_authz_envoy_up",
    help: "Whether Envoy accepts connections, 1 or 0.",
    registers: [registry],
    collect: () => up.set(state() === "ready" ? 1 : 0),
  });
  const total: Counter = new Counter({
    name: "idtoken_authz_envoy_restarts_total",
    help: "How often Envoy was started again after it had ended.",
    registers: [registry],
    collect: () => {
      total.reset();
      total.inc(restarts());
    },
  });
}
