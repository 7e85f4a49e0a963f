import { formatAddress, type Address } from "./system/address.ts";
import { createAudienceRule } from "./access/audience.ts";
import { openCheckSecret, type CheckSecret } from "./access/check-secret.ts";
import type { TlsFiles } from "./access/tls-files.ts";
import { createAuthorize, type Authorize } from "./check/authorize.ts";
import { createDecision, type Denial } from "./check/decision.ts";
import type { EnvoyStatus } from "./envoy/supervisor.ts";
import { systemClock, type Clock } from "./system/clock.ts";
import { isExposed, type Config } from "./settings/serve.ts";
import { createCredentialReloader, type CredentialReloader } from "./credentials/reloader.ts";
import type { Credential } from "./credentials/credential.ts";
import { canonicalAccount } from "./credentials/impersonation.ts";
import { findCredential } from "./credentials/application-default.ts";
import type { FollowedFile } from "./system/followed-file.ts";
import type { GrpcOptions } from "./grpc/service.ts";
import type { AppOptions } from "./http/app.ts";
import { buildEndpoint, type Endpoint } from "./http/endpoint.ts";
import { describeReadiness, type HealthOptions } from "./http/health.ts";
import type { SecureOptions } from "./http/tls.ts";
import {
  logNotFollowed,
  logPolicyEvents,
  logSecretEvents,
  logServerEvents,
  logTlsEvents,
  reportToBoth,
} from "./telemetry/server-events.ts";
import type { Logger } from "./telemetry/logger.ts";
import { createMetrics, createMetricsOfEnvoy } from "./telemetry/metrics.ts";
import type { CheckProtocol } from "./telemetry/request-metrics.ts";
import { createAccountTokens } from "./tokens/account-tokens.ts";
import { createMintQueue, type Mint } from "./tokens/mint-queue.ts";
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
  const tls = await openTls(config, context);
  if (tls !== undefined) starting.defer(tls.close);
  const parts = await buildTokenParts(config, context, tls, starting);
  const { place, initial, own, tokens, credentials } = parts;
  const secret = await openSecret(config, context);
  if (secret !== undefined) starting.defer(secret.close);
  const policy = await openCallerPolicy(config, parts, context);
  if (policy !== undefined) starting.defer(policy.close);
  const draining = new AbortController();
  const authorize = createAuthorize({
    chooseAudience: createAudienceRule({
      configured: config.audiences,
      allowed: config.allowAudiences,
      fromHost: config.audienceFromHost,
    }),
    allowClients: config.shared?.allowClients ?? [],
    policy,
  });
  const access = { secret, authorize, tls };
  const { main, admin } = await buildEndpoints(config, parts, access, draining.signal, context);
  // Before the main endpoint, and so stopped after it: probes see the whole drain.
  starting.defer(admin.close);
  const adminAddress = config.adminListen && (await admin.listen(config.adminListen));
  starting.defer(main.close);
  const address = await main.listen(config.listen);
  announce(config, { address, adminAddress, credential: initial }, log);
  own.start();
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
    void tls?.reload();
    void policy?.reload();
  }

  return {
    address,
    credential: initial,
    token: (audience) => tokens.token({ audience }),
    reload,
    close,
  };
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
  tls: TlsFiles | undefined,
  starting: AsyncDisposableStack,
) {
  const { impersonate } = config;
  const place = await findCredential(config.credentials, clock, { impersonate, env });
  if (place.file !== undefined) starting.defer(place.file.close);
  const initial = place.initial();
  const metrics = createMetrics({
    readiness: () => own.readiness(),
    cachedAudiences: () => tokens.size(),
    credential: initial,
    tlsExpiresAtSeconds: tls?.expiresAtSeconds,
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
  const createSource = (mint: Mint, configured: readonly string[]) =>
    createTokenSource({
      mint,
      queue,
      configured,
      verificationAudience: VERIFICATION_AUDIENCE,
      maxAudiences,
      refreshAt,
      clock,
    });
  const own = createSource(initial.mint, config.audiences);
  const tokens = createAccountTokens(initial, own, (mint) => createSource(mint, []));
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
  return { place, initial, metrics, own, tokens, credentials };
}

async function openTls({ shared }: Config, { clock, log }: ServerContext) {
  if (shared === undefined) return undefined;
  // Loaded only where it is used, like the policy below: most servers have neither.
  const { openTlsFiles } = await import("./access/tls-files.ts");
  return openTlsFiles(shared.tls, clock, logTlsEvents(log));
}

async function openCallerPolicy(
  { shared, audienceFromHost }: Config,
  { tokens }: Awaited<ReturnType<typeof buildTokenParts>>,
  { clock, log }: ServerContext,
) {
  if (shared?.policy === undefined) return undefined;
  const { openPolicy } = await import("./access/policy-file.ts");
  const options = { fromHost: audienceFromHost, parseAccount: canonicalAccount };
  const events = logPolicyEvents(log, ({ callers }) => {
    tokens.retain(new Set(callers.flatMap(({ account = [] }) => account)));
  });
  return openPolicy(shared.policy, options, clock, events);
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
  { metrics, own, tokens }: Awaited<ReturnType<typeof buildTokenParts>>,
  { secret, authorize, tls }: Access,
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
      token,
      checked: (outcome, durationMs, caller) =>
        metrics.checked(protocol, outcome, durationMs, caller),
      denied: config.shared === undefined ? () => {} : logDenials(context.log),
    });
  const health = { readiness: own.readiness, isDraining, metrics, envoy: context.envoy };
  const main = await buildHealthEndpoint(health, draining, context, {
    check: { decide: decideOver("http"), tokenHeader, isDraining },
    push: { secret, authorize, token: tokenToPush, pushed: metrics.pushed, isDraining },
    grpcCheck: { decide: decideOver("grpc"), tokenHeader },
    secure: tls && { files: tls, onRefused: metrics.handshakeRefused },
  });
  return { main, admin: await buildHealthEndpoint(health, draining, context) };
}

/** An endpoint of health and metrics, and of what else it is given. */
function buildHealthEndpoint(
  health: HealthOptions,
  draining: AbortSignal,
  { clock, log }: Pick<ServerContext, "clock" | "log">,
  { grpcCheck, ...rest }: TokenRoutes = {},
): Promise<Endpoint> {
  const onFault = (err: unknown) =>
    log.error({ event: "internal_error", err }, "a request failed unexpectedly");
  const isReady = () => describeReadiness(health).status === "ready";
  const loadGrpc = async () => {
    const { createGrpcService } = await import("./grpc/service.ts");
    return createGrpcService({ check: grpcCheck, health: { isReady, draining }, clock, onFault });
  };
  return buildEndpoint({ ...rest, health, loadGrpc, onFault, clock });
}

/** Who is answered. */
interface Access {
  readonly secret: CheckSecret | undefined;
  readonly authorize: Authorize;
  readonly tls: TlsFiles | undefined;
}

type TokenRoutes = Pick<AppOptions, "check" | "push"> & {
  readonly secure?: SecureOptions | undefined;
  readonly grpcCheck?: GrpcOptions["check"];
};

/** Logs each denial with its caller, audience and code. */
function logDenials(log: Logger): (denial: Denial) => void {
  return ({ code, caller, client, principal, named, host }) =>
    log.info(
      { event: "check_denied", code, caller, client, principal, audience: named ?? host },
      "denied a check",
    );
}

/** For verifying a credential where no audience is configured; the token is discarded. */
export const VERIFICATION_AUDIENCE = "https://idtoken-authz.invalid";
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
  if (isExposed(config.listen) && config.shared?.tls.clientCa === undefined) {
    const condition = config.checkSecretFile === undefined ? "" : " and knows the check secret";
    log.warn(
      { event: "address_exposed", listen: address },
      `not a loopback address: anyone who can reach it${condition} gets tokens`,
    );
  }
  if (
    config.shared?.policy === undefined &&
    config.audiences.length + config.allowAudiences.length === 0
  ) {
    log.warn(
      { event: "no_audience" },
      "no audience is configured or allowed: every check is refused",
    );
  }
}
