import { createDecision, type Denial } from "../check/decision.ts";
import type { EnvoyStatus } from "../envoy/supervisor.ts";
import type { GrpcOptions } from "../grpc/service.ts";
import type { AppOptions } from "../http/app.ts";
import { buildEndpoint, type Endpoint } from "../http/endpoint.ts";
import { describeReadiness, type HealthOptions } from "../http/health.ts";
import type { SecureOptions } from "../http/tls.ts";
import type { Config } from "../settings/serve.ts";
import type { Address } from "../system/address.ts";
import { systemClock } from "../system/clock.ts";
import { showNamed } from "../system/show.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createMetricsOfEnvoy } from "../telemetry/metrics.ts";
import type { CheckProtocol } from "../telemetry/request-metrics.ts";
import type { Access } from "./access.ts";
import type { ServerContext } from "./context.ts";
import type { Tokens } from "./tokens.ts";

/** The endpoint that serves everything, and the one that serves health and metrics only. */
export async function buildEndpoints(
  config: Config,
  { metrics, own, tokens }: Tokens,
  { secret, authorize, turns, tls }: Access,
  draining: AbortSignal,
  context: ServerContext,
): Promise<{ readonly main: Endpoint; readonly admin: Endpoint }> {
  const { tokenHeader } = config;
  const { token, tokenToPush } = tokens;
  const isDraining = () => draining.aborted;
  const decideOver = (protocol: CheckProtocol) =>
    createDecision({
      secret,
      authorize,
      turns,
      token,
      checked: (outcome, durationMs, caller) =>
        metrics.checked(protocol, outcome, durationMs, caller),
      denied: config.shared === undefined ? () => {} : logDenials(context.log),
    });
  const health = { readiness: own.readiness, isDraining, metrics, envoy: context.envoy };
  const main = await buildHealthEndpoint(health, draining, context, {
    check: { decide: decideOver("http"), tokenHeader, isDraining },
    push: {
      secret,
      authorize,
      token: tokenToPush,
      pushed: metrics.pushed,
      isDraining,
      clock: context.clock,
    },
    grpcCheck: { decide: decideOver("grpc"), tokenHeader },
    grpcCallRefused: metrics.grpcCallRefused,
    secure: tls && { files: tls, onRefused: metrics.handshakeRefused },
  });
  return { main, admin: await buildHealthEndpoint(health, draining, context) };
}

/** An endpoint of health and metrics, and of what else it is given. */
function buildHealthEndpoint(
  health: HealthOptions,
  draining: AbortSignal,
  { clock, log }: Pick<ServerContext, "clock" | "log">,
  { grpcCheck, grpcCallRefused: onRefused = () => {}, ...rest }: TokenRoutes = {},
): Promise<Endpoint> {
  const onFault = (err: unknown) =>
    log.error({ event: "internal_error", err }, "a request failed unexpectedly");
  const isReady = () => describeReadiness(health).status === "ready";
  const loadGrpc = async () => {
    const { createGrpcService } = await import("../grpc/service.ts");
    const grpcHealth = { isReady, draining };
    return createGrpcService({ check: grpcCheck, health: grpcHealth, clock, onRefused, onFault });
  };
  return buildEndpoint({ ...rest, health, loadGrpc, onFault, clock });
}

/**
 * Serves health and metrics of an Envoy that needs no tokens. Resolves with what stops it. Throws a
 * StartError when the address cannot be used.
 */
export async function serveHealth(
  address: Address,
  envoy: EnvoyStatus,
  log: Logger,
): Promise<() => Promise<void>> {
  const metrics = createMetricsOfEnvoy(envoy);
  const health = { readiness: () => [], isDraining: () => false, metrics, envoy };
  const draining = new AbortController().signal;
  const endpoint = await buildHealthEndpoint(health, draining, { clock: systemClock, log });
  await endpoint.listen(address);
  return endpoint.close;
}

type TokenRoutes = Pick<AppOptions, "check" | "push"> & {
  readonly secure?: SecureOptions | undefined;
  readonly grpcCheck?: GrpcOptions["check"];
  readonly grpcCallRefused?: GrpcOptions["onRefused"];
};

/** Logs each denial with its caller, audience and code. */
function logDenials(log: Logger): (denial: Denial) => void {
  return ({ code, caller, client, principal, named, host }) => {
    const audience = showNamed(named ?? host);
    const names = { caller, client, principal: showNamed(principal) };
    log.info({ event: "check_denied", code, ...names, audience }, "denied a check");
  };
}
