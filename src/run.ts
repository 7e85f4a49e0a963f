import { formatAddress, type Address } from "./address.ts";
import { createAudienceRule } from "./audience.ts";
import { openCheckSecret } from "./check-secret.ts";
import type { Clock } from "./clock.ts";
import { isExposed, type Config } from "./config.ts";
import { readCredential } from "./credential-file.ts";
import { createCredentialSource } from "./credential-source.ts";
import { watchFile } from "./file-watch.ts";
import { buildApp } from "./http/app.ts";
import { prepareDrain } from "./http/drain.ts";
import { listen } from "./listen.ts";
import { logEvents, logSecretEvents, tellBoth } from "./log-events.ts";
import type { Logger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";
import { createMintQueue } from "./mint-queue.ts";
import { createTokenSource } from "./token-source.ts";

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
 * not wait for the first. Throws a StartError when the key or the address cannot be used.
 */
export async function run(config: Config, clock: Clock, log: Logger): Promise<RunningServer> {
  const read = () => readCredential(config.credentials, clock);
  const file = await read();
  const initial = file.parse();
  const [defaultAudience] = config.audiences;
  const metrics = createMetrics({
    readiness: () => tokens.readiness(),
    cachedAudiences: () => tokens.size(),
    credential: initial,
  });
  const events = tellBoth(metrics, logEvents(log));
  const { mintTimeoutMs } = config;
  const queue = createMintQueue({ first: defaultAudience, mintTimeoutMs, clock, events });
  const tokens = createTokenSource({
    mint: initial.mint,
    queue,
    configured: config.audiences,
    maxAudiences: config.maxAudiences,
    refreshAt: config.refreshAt,
    clock,
  });
  const credentials = createCredentialSource({
    read,
    initial,
    initialFingerprint: file.fingerprint,
    prove: ({ mint }) => queue.run(mint, defaultAudience ?? PROOF_AUDIENCE, "swap"),
    tokens,
    clock,
    events,
  });
  const { checkSecretFile } = config;
  const secret = checkSecretFile
    ? await openCheckSecret(checkSecretFile, clock, logSecretEvents(log))
    : undefined;
  let draining = false;
  const common = {
    health: { readiness: tokens.readiness, isDraining: () => draining, metrics },
    onFault: (err: unknown) => log.error({ err }, "a request met a fault of this program"),
  };
  const app = await buildApp({
    ...common,
    check: {
      secret,
      chooseAudience: createAudienceRule({
        configured: config.audiences,
        allowed: config.allowAudiences,
        fromHost: config.audienceFromHost,
      }),
      token: tokens.token,
      tokenHeader: config.tokenHeader,
      checked: metrics.checked,
    },
  });
  const drain = prepareDrain(app.server, clock);
  const admin = await buildApp(common);
  const adminAddress = config.adminListen && (await listen(admin, config.adminListen));
  const address = await listen(app, config.listen);
  const facts = {
    listen: formatAddress(address),
    adminListen: adminAddress && formatAddress(adminAddress),
    principal: initial.principal,
  };
  announce(config, facts, log);
  tokens.start();
  const unwatch = watchFile(config.credentials, clock, () => void credentials.reload());

  async function close(): Promise<void> {
    draining = true;
    log.info({ drainTimeoutMs: config.drainTimeoutMs }, "draining");
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
    log.info("stopped");
  }

  function reload(): void {
    void credentials.reload(true);
    void secret?.reload();
  }

  return { address, reload, close };
}

/** Proves a new credential where no audience is configured; the token is thrown away. */
const PROOF_AUDIENCE = "https://idtoken-authz.invalid";

interface Facts {
  readonly listen: string;
  readonly adminListen: string | undefined;
  readonly principal: string;
}

function announce(config: Config, facts: Facts, log: Logger): void {
  log.info({ ...facts, audiences: config.audiences }, "listening");
  if (isExposed(config.listen)) {
    log.warn({ listen: facts.listen }, "not a loopback address: whoever reaches it gets tokens");
  }
  if (config.audiences.length + config.allowAudiences.length === 0) {
    log.warn("no audience is configured or allowed: every check is refused");
  }
}
