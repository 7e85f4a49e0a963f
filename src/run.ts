import type { FastifyInstance } from "fastify";
import { formatAddress, type Address } from "./address.ts";
import { createAudienceRule } from "./audience.ts";
import type { Clock } from "./clock.ts";
import { isExposed, type Config } from "./config.ts";
import { StartError } from "./errors.ts";
import { buildApp } from "./http/app.ts";
import { prepareDrain } from "./http/drain.ts";
import type { MintEvents } from "./kept-token.ts";
import type { Logger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";
import { createMinter } from "./minter.ts";
import { readServiceAccountKey } from "./service-account-key.ts";
import { createTokenSource } from "./token-source.ts";

export interface RunningServer {
  /** Where it listens, the chosen port included. */
  readonly address: Address;
  /** Not ready at once; finishes open requests, within the drain timeout, and stops. */
  readonly close: () => Promise<void>;
}

/**
 * Builds the server from its configuration and listens. Tokens are minted from then on: it does
 * not wait for the first. Throws a StartError when the key or the address cannot be used.
 */
export async function run(config: Config, clock: Clock, log: Logger): Promise<RunningServer> {
  const key = await readServiceAccountKey(config.credentials);
  const metrics = createMetrics({
    configured: config.audiences,
    cachedAudiences: () => source.size(),
    credential: { type: "service_account", principal: key.clientEmail, keyId: key.keyId },
  });
  const source = createTokenSource({
    mint: createMinter(key, clock),
    configured: config.audiences,
    maxAudiences: config.maxAudiences,
    refreshAt: config.refreshAt,
    mintTimeoutMs: config.mintTimeoutMs,
    clock,
    events: tellBoth(metrics, logMints(log)),
  });
  let draining = false;
  const app = await buildApp({
    check: {
      chooseAudience: createAudienceRule({
        configured: config.audiences,
        allowed: config.allowAudiences,
        fromHost: config.audienceFromHost,
      }),
      token: source.token,
      tokenHeader: config.tokenHeader,
      checked: metrics.checked,
    },
    health: { readiness: source.readiness, isDraining: () => draining, metrics },
    onFault: (err) => log.error({ err }, "a request met a fault of this program"),
  });
  const drain = prepareDrain(app.server, clock);
  const address = await listen(app, config.listen);
  announce(config, address, key.clientEmail, log);
  source.start();
  return {
    address,
    close: async () => {
      draining = true;
      log.info({ drainTimeoutMs: config.drainTimeoutMs }, "draining");
      await drain(config.drainTimeoutMs);
      source.close();
      await app.close();
      log.info("stopped");
    },
  };
}

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

function announce(config: Config, address: Address, principal: string, log: Logger): void {
  const listening = formatAddress(address);
  log.info({ listen: listening, principal, audiences: config.audiences }, "listening");
  if (isExposed(address)) {
    log.warn({ listen: listening }, "not a loopback address: whoever reaches it gets tokens");
  }
  const anyAudience = config.audiences.length + config.allowAudiences.length > 0;
  if (!anyAudience) log.warn("no audience is configured or allowed: every check is refused");
}

function logMints(log: Logger): MintEvents {
  return {
    minted: ({ token, reason, durationMs }) =>
      log.info(
        { audience: token.audience, reason, durationMs, expiresAtSeconds: token.expiresAtSeconds },
        "minted an ID token",
      ),
    mintFailed: ({ audience, reason, error, durationMs, retryInMs }) =>
      log[reason === "renewal" ? "warn" : "error"](
        { audience, reason, err: error, durationMs, retryInMs },
        reason === "renewal"
          ? "renewal failed; the unexpired token is served meanwhile"
          : "no ID token can be had",
      ),
  };
}

function tellBoth(first: MintEvents, second: MintEvents): MintEvents {
  return {
    minted: (mint) => {
      first.minted(mint);
      second.minted(mint);
    },
    mintFailed: (mint) => {
      first.mintFailed(mint);
      second.mintFailed(mint);
    },
  };
}
