import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { MINT_CODES, type MintCode, type PushCode, type RefusalCode } from "../system/errors.ts";

export type CheckOutcome = "ok" | RefusalCode | MintCode;
export type CheckProtocol = "http" | "grpc";
export type PushOutcome = CheckOutcome | PushCode;

/** Exported as 0 from the start, so that a rate over them is never missing. */
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
const CHECK_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5];

/** What counts the requests that arrive. */
export interface RequestMetrics {
  /** `caller` is the caller's entry in the policy, if it has one. */
  readonly checked: (
    protocol: CheckProtocol,
    outcome: CheckOutcome,
    durationMs: number,
    caller?: string,
  ) => void;
  /** Called for each gRPC call beyond what the heap can hold. */
  readonly grpcCallRefused: () => void;
  /** Called for each connection that ended in its TLS handshake. */
  readonly handshakeRefused: () => void;
  readonly pushed: (outcome: PushOutcome) => void;
}

/** Creates the metrics of checks, pushes and TLS handshakes. */
export function createRequestMetrics(
  registry: Registry,
  tlsExpiresAtSeconds: (() => number) | undefined,
): RequestMetrics {
  return {
    ...createCheckMetrics(registry),
    ...createGrpcMetrics(registry),
    ...createPushMetrics(registry),
    ...createTlsMetrics(registry, tlsExpiresAtSeconds),
  };
}

function createCheckMetrics(registry: Registry): Pick<RequestMetrics, "checked"> {
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

function createGrpcMetrics(registry: Registry): Pick<RequestMetrics, "grpcCallRefused"> {
  const refused = new Counter({
    name: "idtoken_authz_grpc_calls_refused_total",
    help: "gRPC calls refused because too many were open; they may be retried.",
    registers: [registry],
  });
  return { grpcCallRefused: () => refused.inc() };
}

function createTlsMetrics(
  registry: Registry,
  expiresAtSeconds: () => number = () => 0,
): Pick<RequestMetrics, "handshakeRefused"> {
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

function createPushMetrics(registry: Registry): Pick<RequestMetrics, "pushed"> {
  const total = new Counter({
    name: "idtoken_authz_pushes_total",
    help: "Secrets requested by Envoy, by outcome.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  for (const outcome of PUSH_OUTCOMES) total.inc({ outcome }, 0);
  return { pushed: (outcome) => total.inc({ outcome }) };
}
