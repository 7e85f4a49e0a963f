import { Gauge, Registry } from "prom-client";
import type { RotationEvents } from "../credentials/reloader.ts";
import type { EnvoyStatus } from "../envoy/supervisor.ts";
import type { Credential } from "../credentials/credential.ts";
import type { MintEvents } from "../tokens/mint-queue.ts";
import type { IdToken } from "../tokens/id-token.ts";
import { createCredentialMetrics, createMintMetrics } from "./mint-metrics.ts";
import { collectProcessMetrics, createEnvoyMetrics } from "./process-metrics.ts";
import { createRequestMetrics, type RequestMetrics } from "./request-metrics.ts";

export interface Metrics extends RequestMetrics, MintEvents, RotationEvents {
  /** All metrics in the Prometheus text format. */
  readonly render: () => Promise<string>;
  readonly contentType: string;
}

/** The state that is read at each scrape. */
export interface MetricsOptions {
  /** The configured audiences, the only ones that become labels, with their unexpired tokens. */
  readonly readiness: () => readonly {
    readonly audience: string;
    readonly token: IdToken | undefined;
  }[];
  readonly cachedAudiences: () => number;
  readonly credential: Credential;
  /** When the certificate for TLS expires, in seconds since the epoch; absent without TLS. */
  readonly tlsExpiresAtSeconds?: (() => number) | undefined;
  /** The Envoy that runs with the server as one. */
  readonly envoy?: EnvoyStatus | undefined;
}

/** Creates the server's and the process's metrics in a registry of their own. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  collectProcessMetrics(registry);
  const requests = createRequestMetrics(registry, options.tlsExpiresAtSeconds);
  const mints = createMintMetrics(registry);
  const rotations = createCredentialMetrics(registry, options.credential);
  if (options.envoy !== undefined) createEnvoyMetrics(registry, options.envoy);
  const expiry: Gauge = new Gauge({
    name: "idtoken_authz_token_expiry_timestamp_seconds",
    help: "Expiry of the latest token of each configured audience; 0 before the first.",
    labelNames: ["audience"],
    registers: [registry],
    collect: () => {
      for (const { audience, token } of options.readiness()) {
        // An expired token leaves its value, for alerts to compare with the current time.
        if (token === undefined) expiry.inc({ audience }, 0);
        else expiry.set({ audience }, token.expiresAtSeconds);
      }
    },
  });
  const cached: Gauge = new Gauge({
    name: "idtoken_authz_cached_audiences",
    help: "Audiences in the cache.",
    registers: [registry],
    collect: () => cached.set(options.cachedAudiences()),
  });
  return {
    ...requests,
    ...mints,
    ...rotations,
    render: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** Creates the metrics of a process that mints nothing, but runs an Envoy. */
export function createMetricsOfEnvoy(envoy: EnvoyStatus): Pick<Metrics, "render" | "contentType"> {
  const registry = new Registry();
  collectProcessMetrics(registry);
  createEnvoyMetrics(registry, envoy);
  return { render: () => registry.metrics(), contentType: registry.contentType };
}
