import type { TlsFiles } from "../access/tls-files.ts";
import { findCredential } from "../credentials/application-default.ts";
import { createCredentialReloader } from "../credentials/reloader.ts";
import type { Config } from "../settings/serve.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import {
  logAccountRejected,
  logNotFollowed,
  logServerEvents,
  reportToBoth,
} from "../telemetry/server-events.ts";
import { createAccountTokens } from "../tokens/account-tokens.ts";
import { createMintQueue, type Mint } from "../tokens/mint-queue.ts";
import { createNamedAccounts } from "../tokens/named-accounts.ts";
import { createTokenSource } from "../tokens/token-source.ts";
import type { ServerContext } from "./context.ts";

/** For verifying a credential where no audience is configured; the token is discarded. */
export const VERIFICATION_AUDIENCE = "https://idtoken-authz.invalid";
/** How many mints may wait at least, however few audiences are cached. */
const MIN_WAITING = 1000;

/**
 * Builds everything that mints, caches and rotates, with its metrics; `starting` gets what stops it.
 * Throws a StartError when the credential cannot be used.
 */
export async function buildTokens(
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
  const accounts = createNamedAccounts({ tokens, onRejected: logAccountRejected(log) });
  starting.defer(accounts.close);
  const rotated: typeof events.rotated = (...change) => {
    events.rotated(...change);
    void accounts.verifyAll();
  };
  const credentials = createCredentialReloader({
    initial,
    initialContent: place.file?.initial ?? Buffer.alloc(0),
    parse: place.parse,
    tokens,
    clock,
    events: { ...events, rotated },
  });
  starting.defer(credentials.close);
  return { place, initial, metrics, own, tokens, accounts, credentials };
}

/** What `buildTokens` builds. */
export type Tokens = Awaited<ReturnType<typeof buildTokens>>;

/** Follows the credential's file, if there is one, from now on. */
export function followCredential({ place, credentials }: Tokens, log: Logger): void {
  const { file } = place;
  const { offer, reportUnreadable } = credentials;
  if (file === undefined) return;
  file.follow({ changed: (content) => void offer(content), unreadable: reportUnreadable });
  if (!file.isFollowed) logNotFollowed(log, "the credential", file.path);
}
