import { formatAddress, type Address } from "./system/address.ts";
import { createAudienceRule } from "./access/audience.ts";
import { openCheckSecret, type CheckSecret } from "./access/check-secret.ts";
import type { Clock } from "./system/clock.ts";
import { isExposed, type Config } from "./settings/serve.ts";
import { createCredentialReloader } from "./credentials/reloader.ts";
import { findCredential } from "./credentials/application-default.ts";
import { watchFile } from "./system/files.ts";
import { buildApp } from "./http/app.ts";
import { prepareDrain } from "./http/drain.ts";
import { listen } from "./http/listen.ts";
import { logSecretEvents, logServerEvents, reportToBoth } from "./telemetry/server-events.ts";
import type { Logger } from "./telemetry/logger.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { createMintQueue } from "./tokens/mint-queue.ts";
import { createTokenSource } from "./tokens/token-source.ts";

export interface RunningServer {
  /** Where it listens, the chosen port included. */
  readonly address: Address;
  /** Looks at the credential file and the check secret at once. */
  readonly reload: () => void;
  /** Not ready at once; finishes open requests, within the drain timeout, and stops. */
  readonly close: () => Promise<void>;
}

/**
 * Builds the server from its configuration and listens. Tokens are minted from then on: it does
 * not wait for the first. Throws a StartError when the credential or an address cannot be used.
 */
export async function startServer(
  config: Config,
  clock: Clock,
  log: Logger,
): Promise<RunningServer> {
  const parts = await buildTokenParts(config, clock, log);
  const { place, initial, queue, tokens, credentials } = parts;
  const secret = await openSecret(config, clock, log);
  let draining = false;
  const { app, admin } = await buildApps(config, parts, secret, {
    isDraining: () => draining,
    log,
  });
  const drain = prepareDrain(app.server, clock);
  const adminAddress = config.adminListen && (await listen(admin, config.adminListen));
  const address = await listen(app, config.listen);
  const facts = {
    listen: formatAddress(address),
    adminListen: adminAddress && formatAddress(adminAddress),
    type: initial.type,
    principal: initial.principal,
  };
  announce(config, facts, log);
  tokens.start();
  const look = () => void credentials.reload();
  const unwatch = place.path === undefined ? () => {} : watchFile(place.path, clock, look);

  async function close(): Promise<void> {
    draining = true;
    log.info({ event: "draining", drainTimeoutMs: config.drainTimeoutMs }, "draining");
    unwatch();
    secret?.close();
    credentials.close();
    await drain(config.drainTimeoutMs);
    tokens.close();
    queue.close();
    await app.close();
    // To the last, so that probes learn of the drain.
    admin.server.closeAllConnections();
    await admin.close();
    log.info({ event: "stopped" }, "stopped");
  }

  function reload(): void {
    void credentials.reload(true);
    void secret?.reload();
  }

  return { address, reload, close };
}

/** Whatever has to do with tokens, and the metrics of it. */
async function buildTokenParts(config: Config, clock: Clock, log: Logger) {
  const place = await findCredential(config.credentials, clock, config);
  const file = await place.read();
  const initial = file.parse();
  const [defaultAudience] = config.audiences;
  const metrics = createMetrics({
    readiness: () => tokens.readiness(),
    cachedAudiences: () => tokens.size(),
    credential: initial,
  });
  const events = reportToBoth(metrics, logServerEvents(log));
  const { mintTimeoutMs, maxAudiences, refreshAt } = config;
  const queue = createMintQueue({
    first: defaultAudience,
    mintTimeoutMs,
    maxWaiting: maxAudiences + config.audiences.length,
    clock,
    events,
  });
  const tokens = createTokenSource({
    mint: initial.mint,
    queue,
    configured: config.audiences,
    maxAudiences,
    refreshAt,
    clock,
  });
  const credentials = createCredentialReloader({
    read: place.read,
    initial,
    initialFingerprint: file.fingerprint,
    prove: ({ mint }) => queue.run(mint, defaultAudience ?? PROOF_AUDIENCE, "swap"),
    tokens,
    clock,
    events,
  });
  return { place, initial, metrics, queue, tokens, credentials };
}

async function openSecret({ checkSecretFile }: Config, clock: Clock, log: Logger) {
  if (checkSecretFile === undefined) return undefined;
  return openCheckSecret(checkSecretFile, clock, logSecretEvents(log));
}

/** The server of checks and pushes, and one of health and metrics alone. */
async function buildApps(
  config: Config,
  { metrics, tokens }: Awaited<ReturnType<typeof buildTokenParts>>,
  secret: CheckSecret | undefined,
  { isDraining, log }: { readonly isDraining: () => boolean; readonly log: Logger },
) {
  const { audiences, allowAudiences, audienceFromHost, tokenHeader } = config;
  const chooseAudience = createAudienceRule({
    configured: audiences,
    allowed: allowAudiences,
    fromHost: audienceFromHost,
  });
  const common = {
    health: { readiness: tokens.readiness, isDraining, metrics },
    onFault: (err: unknown) =>
      log.error({ event: "internal_error", err }, "a request failed unexpectedly"),
  };
  const { token, tokenToPush } = tokens;
  const app = await buildApp({
    ...common,
    check: { secret, chooseAudience, token, tokenHeader, checked: metrics.checked, isDraining },
    push: { secret, chooseAudience, token: tokenToPush, pushed: metrics.pushed, isDraining },
  });
  return { app, admin: await buildApp(common) };
}

/** Proves a new credential where no audience is configured; the token is thrown away. */
const PROOF_AUDIENCE = "https://idtoken-authz.invalid";

interface Facts {
  readonly listen: string;
  readonly adminListen: string | undefined;
  readonly type: string;
  readonly principal: string;
}

function announce(config: Config, facts: Facts, log: Logger): void {
  log.info({ event: "listening", ...facts, audiences: config.audiences }, "listening");
  if (isExposed(config.listen)) {
    const condition = config.checkSecretFile === undefined ? "" : " and knows the check secret";
    log.warn(
      { event: "address_exposed", listen: facts.listen },
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
