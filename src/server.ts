import { formatAddress, type Address } from "./system/address.ts";
import { createAudienceRule } from "./access/audience.ts";
import { openCheckSecret, type CheckSecret } from "./access/check-secret.ts";
import { createDecision } from "./check/decision.ts";
import type { EnvoyStatus } from "./envoy/supervisor.ts";
import { systemClock, type Clock } from "./system/clock.ts";
import { isExposed, type Config } from "./settings/serve.ts";
import { createCredentialReloader, type CredentialReloader } from "./credentials/reloader.ts";
import type { Credential } from "./credentials/credential.ts";
import { findCredential } from "./credentials/application-default.ts";
import type { FollowedFile } from "./system/followed-file.ts";
import type { GrpcOptions } from "./grpc/service.ts";
import type { AppOptions } from "./http/app.ts";
import { buildEndpoint, type Endpoint } from "./http/endpoint.ts";
import { describeReadiness, type HealthOptions } from "./http/health.ts";
import {
  logNotFollowed,
  logSecretEvents,
  logServerEvents,
  reportToBoth,
} from "./telemetry/server-events.ts";
import type { Logger } from "./telemetry/logger.ts";
import { createMetrics, createMetricsOfEnvoy, type CheckProtocol } from "./telemetry/metrics.ts";
import { createMintQueue } from "./tokens/mint-queue.ts";
import type { IdToken } from "./tokens/id-token.ts";
import { createTokenSource } from "./tokens/token-source.ts";

export interface RunningServer {
  /** Where it listens, with the chosen port. */
  readonly address: Address;
  /** The credential that it started with. */
  readonly credential: Credential;
  /** An ID token for an audience, cached or minted now. Rejects with a MintError. */
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  /** Reads the credential file and the check secret again. */
  readonly reload: () => void;
  /** Becomes unready, finishes open requests within the drain timeout, and stops. */
  readonly close: () => Promise<void>;
}

/** What a server needs of its process. */
export interface ServerContext {
  /** Where credentials look for their own variables, as in GCE_METADATA_HOST. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly log: Logger;
  /** The Envoy that runs with the server as one, for health and metrics. */
  readonly envoy?: EnvoyStatus | undefined;
}

/**
 * Builds the server from its configuration and listens; the first tokens are minted in the
 * background from then on. Throws a StartError when the credential or an address cannot be used;
 * whatever was started by then has been stopped.
 */
export async function startServer(config: Config, context: ServerContext): Promise<RunningServer> {
  const { log } = context;
  // Whatever is started is stopped in reverse order, here on a failure, later by close().
  await using starting = new AsyncDisposableStack();
  const parts = await buildTokenParts(config, context, starting);
  const { place, initial, tokens, credentials } = parts;
  const secret = await openSecret(config, context);
  if (secret !== undefined) starting.defer(secret.close);
  const draining = new AbortController();
  const { main, admin } = await buildEndpoints(config, parts, secret, draining.signal, context);
  // Before the main endpoint, and so stopped after it: probes see the whole drain.
  starting.defer(admin.close);
  const adminAddress = config.adminListen && (await admin.listen(config.adminListen));
  starting.defer(main.close);
  const address = await main.listen(config.listen);
  announce(config, { address, adminAddress, credential: initial }, log);
  tokens.start();
  followCredential(place.file, credentials, log);
  const running = starting.move();

  async function close(): Promise<void> {
    draining.abort();
    log.info({ event: "draining", drainTimeoutMs: config.drainTimeoutMs }, "draining");
    await main.drain(config.drainTimeoutMs);
    await running.disposeAsync();
    log.info({ event: "stopped" }, "stopped");
  }

  function reload(): void {
    void place.file?.look().then(credentials.retry);
    void secret?.reload();
  }

  return { address, credential: initial, token: tokens.token, reload, close };
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

/** Everything that mints, caches and rotates, with its metrics. */
async function buildTokenParts(
  config: Config,
  { env, clock, log, envoy }: ServerContext,
  starting: AsyncDisposableStack,
) {
  const { impersonate } = config;
  const place = await findCredential(config.credentials, clock, { impersonate, env });
  if (place.file !== undefined) starting.defer(place.file.close);
  const initial = place.initial();
  const metrics = createMetrics({
    readiness: () => tokens.readiness(),
    cachedAudiences: () => tokens.size(),
    credential: initial,
    envoy,
  });
  const events = reportToBoth(metrics, logServerEvents(log));
  const { mintTimeoutMs, maxAudiences, refreshAt } = config;
  const queue = createMintQueue({
    configured: new Set([...config.audiences, VERIFICATION_AUDIENCE]),
    mintTimeoutMs,
    maxWaiting: Math.max(maxAudiences, MIN_WAITING),
    clock,
    events,
  });
  starting.defer(queue.close);
  const tokens = createTokenSource({
    mint: initial.mint,
    queue,
    configured: config.audiences,
    verificationAudience: VERIFICATION_AUDIENCE,
    maxAudiences,
    refreshAt,
    clock,
  });
  starting.defer(tokens.close);
  const credentials = createCredentialReloader({
    initial,
    initialContent: place.file?.initial ?? Buffer.alloc(0),
    parse: place.parse,
    tokens,
    clock,
    events,
  });
  starting.defer(credentials.close);
  return { place, initial, metrics, tokens, credentials };
}

function followCredential(
  file: FollowedFile | undefined,
  { offer, reportUnreadable }: CredentialReloader,
  log: Logger,
): void {
  if (file === undefined) return;
  file.follow({ changed: (content) => void offer(content), unreadable: reportUnreadable });
  if (!file.isFollowed) logNotFollowed(log, "the credential", file.path);
}

async function openSecret({ checkSecretFile }: Config, { clock, log }: ServerContext) {
  if (checkSecretFile === undefined) return undefined;
  return openCheckSecret(checkSecretFile, clock, logSecretEvents(log));
}

/** The endpoint that serves everything, and the one that serves health and metrics only. */
async function buildEndpoints(
  config: Config,
  { metrics, tokens }: Awaited<ReturnType<typeof buildTokenParts>>,
  secret: CheckSecret | undefined,
  draining: AbortSignal,
  context: ServerContext,
): Promise<{ readonly main: Endpoint; readonly admin: Endpoint }> {
  const { audiences, allowAudiences, audienceFromHost, tokenHeader } = config;
  const chooseAudience = createAudienceRule({
    configured: audiences,
    allowed: allowAudiences,
    fromHost: audienceFromHost,
  });
  const { token, tokenToPush, readiness } = tokens;
  const isDraining = () => draining.aborted;
  const decideOver = (protocol: CheckProtocol) =>
    createDecision({
      secret,
      chooseAudience,
      token,
      checked: (outcome, durationMs) => metrics.checked(protocol, outcome, durationMs),
    });
  const health = { readiness, isDraining, metrics, envoy: context.envoy };
  const main = await buildHealthEndpoint(health, draining, context, {
    check: { decide: decideOver("http"), tokenHeader, isDraining },
    push: { secret, chooseAudience, token: tokenToPush, pushed: metrics.pushed, isDraining },
    grpcCheck: { decide: decideOver("grpc"), tokenHeader },
  });
  return { main, admin: await buildHealthEndpoint(health, draining, context) };
}

/** An endpoint of health and metrics, and of what else it is given. */
function buildHealthEndpoint(
  health: HealthOptions,
  draining: AbortSignal,
  { clock, log }: Pick<ServerContext, "clock" | "log">,
  { grpcCheck, ...routes }: TokenRoutes = {},
): Promise<Endpoint> {
  const onFault = (err: unknown) =>
    log.error({ event: "internal_error", err }, "a request failed unexpectedly");
  const isReady = () => describeReadiness(health).status === "ready";
  const loadGrpc = async () => {
    const { createGrpcService } = await import("./grpc/service.ts");
    return createGrpcService({ check: grpcCheck, health: { isReady, draining }, clock, onFault });
  };
  return buildEndpoint({ ...routes, health, loadGrpc, onFault, clock });
}

type TokenRoutes = Pick<AppOptions, "check" | "push"> & {
  readonly grpcCheck?: GrpcOptions["check"];
};

/** For verifying a new credential where no audience is configured; the token is discarded. */
const VERIFICATION_AUDIENCE = "https://idtoken-authz.invalid";
/** How many mints may wait at least, however few audiences are cached. */
const MIN_WAITING = 1000;

interface Facts {
  readonly address: Address;
  readonly adminAddress: Address | undefined;
  readonly credential: Credential;
}

function announce(config: Config, facts: Facts, log: Logger): void {
  const { adminAddress, credential } = facts;
  const address = formatAddress(facts.address);
  log.info(
    {
      event: "listening",
      listen: address,
      adminListen: adminAddress && formatAddress(adminAddress),
      type: credential.type,
      principal: credential.principal,
      audiences: config.audiences,
    },
    "listening",
  );
  if (isExposed(config.listen)) {
    const condition = config.checkSecretFile === undefined ? "" : " and knows the check secret";
    log.warn(
      { event: "address_exposed", listen: address },
      `not a loopback address: anyone who can reach it${condition} gets tokens`,
    );
  }
  if (config.audiences.length + config.allowAudiences.length === 0) {
    log.warn(
      { event: "no_audience" },
      "no audience is configured or allowed: every check is refused",
    );
  }
}
