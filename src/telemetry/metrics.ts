import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { MintCode, PushCode, RefusalCode } from "../system/errors.ts";
import type { RotationEvents, RotationOutcome } from "../credentials/reloader.ts";
import type { EnvoyStatus } from "../envoy/supervisor.ts";
import type { Credential } from "../credentials/credential.ts";
import type { MintEvents } from "../tokens/mint-queue.ts";
import type { IdToken } from "../tokens/id-token.ts";

export type CheckOutcome = "ok" | RefusalCode | MintCode;
export type CheckProtocol = "http" | "grpc";
export type PushOutcome = CheckOutcome | PushCode;

/** Exported as 0 from the start, so that a rate over them is never missing. */
const MINT_CODES: readonly MintCode[] = [
  "mint_rejected",
  "mint_unavailable",
  "mint_timeout",
  "mint_invalid_answer",
];
const CHECK_OUTCOMES: readonly CheckOutcome[] = [
  "ok",
  "audience_missing",
  "audience_not_allowed",
  "caller_not_allowed",
  "check_secret_wrong",
  ...MINT_CODES,
];
const PUSH_OUTCOMES: readonly PushOutcome[] = [
  ...CHECK_OUTCOMES,
  "push_malformed",
  "push_too_large",
];
const ROTATION_OUTCOMES: readonly RotationOutcome[] = ["ok", "invalid_file", ...MINT_CODES];
const CHECK_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5];
const MINT_BUCKETS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export interface Metrics extends MintEvents, RotationEvents {
  /** `caller` is the caller's entry in the policy, if it has one. */
  readonly checked: (
    protocol: CheckProtocol,
    outcome: CheckOutcome,
    durationMs: number,
    caller?: string,
  ) => void;
  /** Called for each connection that ended in its TLS handshake. */
  readonly handshakeRefused: () => void;
  readonly pushed: (outcome: PushOutcome) => void;
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
  const checks = createCheckMetrics(registry);
  const pushes = createPushMetrics(registry);
  const mints = createMintMetrics(registry);
  const rotations = createCredentialMetrics(registry, options.credential);
  const tls = createTlsMetrics(registry, options.tlsExpiresAtSeconds);
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
    ...checks,
    ...pushes,
    ...mints,
    ...rotations,
    ...tls,
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

/** Gauges whose names end as a counter's; each is the sum of one that has a label per type. */
const MISNAMED = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
}

function createEnvoyMetrics(registry: Registry, { state, restarts }: EnvoyStatus): void {
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

function createCheckMetrics(registry: Registry): Pick<Metrics, "checked"> {
  const total = new Counter({
    name: "idtoken_authz_checks_total",
    help: "Checks answered, by protocol and outcome.",
    labelNames: ["protocol", "outcome"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "idtoken_authz_check_duration_seconds",
    help: "Time to answer a check.",
    buckets: CHECK_BUCKETS,
    registers: [registry],
  });
  // Looked up once: hashing labels would cost more than the rest of a check's metrics.
  const countersOf = (protocol: CheckProtocol) => {
    const byOutcome = new Map(
      CHECK_OUTCOMES.map((outcome) => [outcome, total.labels({ protocol, outcome })]),
    );
    for (const counter of byOutcome.values()) counter.inc(0);
    return byOutcome;
  };
  const counters = { http: countersOf("http"), grpc: countersOf("grpc") };
  const byCaller = new Counter({
    name: "idtoken_authz_caller_checks_total",
    help: "Checks answered, by the caller's entry in the policy and outcome.",
    labelNames: ["caller", "outcome"],
    registers: [registry],
  });
  return {
    checked: (protocol, outcome, durationMs, caller) => {
      counters[protocol].get(outcome)?.inc();
      seconds.observe(durationMs / 1000);
      if (caller !== undefined) byCaller.inc({ caller, outcome });
    },
  };
}

function createTlsMetrics(
  registry: Registry,
  expiresAtSeconds: () => number = () => 0,
): Pick<Metrics, "handshakeRefused"> {
  const expiry: Gauge = new Gauge({
    name: "idtoken_authz_tls_certificate_expiry_timestamp_seconds",
    help: "Expiry of the certificate for TLS on the listen address; 0 without TLS.",
    registers: [registry],
    collect: () => expiry.set(expiresAtSeconds()),
  });
  const refused = new Counter({
    name: "idtoken_authz_tls_handshakes_refused_total",
    help: "Connections that ended in their TLS handshake, as without a valid client certificate.",
    registers: [registry],
  });
  return { handshakeRefused: () => refused.inc() };
}

function createPushMetrics(registry: Registry): Pick<Metrics, "pushed"> {
  const total = new Counter({
    name: "idtoken_authz_pushes_total",
    help: "Secrets requested by Envoy, by outcome.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  for (const outcome of PUSH_OUTCOMES) total.inc({ outcome }, 0);
  return { pushed: (outcome) => total.inc({ outcome }) };
}

function createMintMetrics(registry: Registry): MintEvents {
  const total = new Counter({
    name: "idtoken_authz_mints_total",
    help: "Attempts to mint an ID token, by outcome and reason.",
    labelNames: ["outcome", "reason"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "idtoken_authz_mint_duration_seconds",
    help: "Time to mint an ID token, including the wait in the queue.",
    buckets: MINT_BUCKETS,
    registers: [registry],
  });
  const skew = new Gauge({
    name: "idtoken_authz_clock_skew_seconds",
    help: "Seconds by which this machine's clock is ahead of the issuer's; negative when behind.",
    registers: [registry],
  });
  return {
    clockCompared: (skewMs) => skew.set(skewMs / 1000),
    minted: ({ reason, durationMs }) => {
      total.inc({ outcome: "ok", reason });
      seconds.observe(durationMs / 1000);
    },
    mintFailed: ({ error, reason, durationMs }) => {
      total.inc({ outcome: error.code, reason });
      seconds.observe(durationMs / 1000);
    },
  };
}

function createCredentialMetrics(registry: Registry, initial: Credential): RotationEvents {
  let current = initial;
  const info: Gauge = new Gauge({
    name: "idtoken_authz_credential_info",
    help: "The credential in use; always 1.",
    labelNames: ["type", "principal", "key_id"],
    registers: [registry],
    collect: () => {
      // A metadata server may have reported another principal since the last scrape.
      const { type, principal, keyId } = current;
      info.reset();
      info.set({ type, principal, key_id: keyId }, 1);
    },
  });
  const rotations = new Counter({
    name: "idtoken_authz_credential_swaps_total",
    help: "Attempts to rotate to the credential file's new content, by outcome.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  for (const outcome of ROTATION_OUTCOMES) rotations.inc({ outcome }, 0);

  return {
    rotated: (credential) => {
      rotations.inc({ outcome: "ok" });
      current = credential;
    },
    rotationFailed: ({ outcome }) => rotations.inc({ outcome }),
  };
}
