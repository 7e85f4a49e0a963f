import type { FastifyInstance } from "fastify";
import { formatAddress, type Address } from "./address.ts";
import { createAudienceRule } from "./audience.ts";
import type { Clock } from "./clock.ts";
import { isExposed, type Config } from "./config.ts";
import type { Credential } from "./credential.ts";
import { createCredentialSource } from "./credential-source.ts";
import { findCredential } from "./credentials/application-default.ts";
import { StartError } from "./errors.ts";
import { watchFile } from "./file-watch.ts";
import { buildApp } from "./http/app.ts";
import { prepareDrain } from "./http/drain.ts";
import { logEvents, tellBoth } from "./log-events.ts";
import type { Logger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";
import { createMintQueue } from "./mint-queue.ts";
import { createTokenSource } from "./token-source.ts";

export interface RunningServer {
  /** Where it listens, the chosen port included. */
  readonly address: Address;
  /** Looks at the credential file at once. */
  readonly reload: () => void;
  /** Not ready at once; finishes open requests, within the drain timeout, and stops. */
  readonly close: () => Promise<void>;
}

/**
 * Builds the server from its configuration and listens. Tokens are minted from then on: it does
 * not wait for the first. Throws a StartError when the credential or the address cannot be used.
 */
export async function run(config: Config, clock: Clock, log: Logger): Promise<RunningServer> {
  const place = await findCredential(config.credentials, clock, config);
  const file = await place.read();
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
    read: place.read,
    initial,
    initialFingerprint: file.fingerprint,
    prove: ({ mint }) => queue.run(mint, defaultAudience ?? PROOF_AUDIENCE, "swap"),
    tokens,
    clock,
    events,
  });
  let draining = false;
  const app = await buildApp({
    check: {
      chooseAudience: createAudienceRule({
        configured: config.audiences,
        allowed: config.allowAudiences,
        fromHost: config.audienceFromHost,
      }),
      token: tokens.token,
      tokenHeader: config.tokenHeader,
      checked: metrics.checked,
    },
    health: { readiness: tokens.readiness, isDraining: () => draining, metrics },
    onFault: (err) => log.error({ err }, "a request met a fault of this program"),
  });
  const drain = prepareDrain(app.server, clock);
  const address = await listen(app, config.listen);
  announce(config, address, initial, log);
  tokens.start();
  const unwatch =
    place.path === undefined
      ? () => {}
      : watchFile(place.path, clock, () => void credentials.reload());

  async function close(): Promise<void> {
    draining = true;
    log.info({ drainTimeoutMs: config.drainTimeoutMs }, "draining");
    unwatch();
    credentials.close();
    await drain(config.drainTimeoutMs);
    tokens.close();
    queue.close();
    await app.close();
    log.info("stopped");
  }

  return { address, reload: () => void credentials.reload(true), close };
}

/** Proves a new credential where no audience is configured; the token is thrown away. */
const PROOF_AUDIENCE = "https://idtoken-authz.invalid";

async function listen(app: FastifyInstance, address: Address): Promise<Address> {
  try {
    await app.listen(
      address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port },
    );
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error";
    const reason = LISTEN_FAULTS[code] ?? code;
    throw new StartError(`${formatAddress(address)}: cannot listen: ${reason}`, { cause });
  }
  const bound = app.server.address();
  return address.kind === "tcp" && typeof bound === "object" && bound !== null
    ? { ...address, port: bound.port }
    : address;
}

const LISTEN_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is taken by another process",
  EADDRNOTAVAIL: "this machine has no such address",
  EACCES: "permission is denied",
  ENOTFOUND: "the host name does not resolve",
};

function announce(config: Config, address: Address, credential: Credential, log: Logger): void {
  const listening = formatAddress(address);
  const { type, principal } = credential;
  log.info({ listen: listening, type, principal, audiences: config.audiences }, "listening");
  if (isExposed(address)) {
    log.warn({ listen: listening }, "not a loopback address: whoever reaches it gets tokens");
  }
  if (config.audiences.length + config.allowAudiences.length === 0) {
    log.warn("no audience is configured or allowed: every check is refused");
  }
}
