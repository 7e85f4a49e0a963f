import { createAudienceRule } from "../access/audience.ts";
import { openCheckSecret, type CheckSecret } from "../access/check-secret.ts";
import type { TlsFiles } from "../access/tls-files.ts";
import { createAuthorize, type Authorize } from "../check/authorize.ts";
import { createFairTurns, type FairTurns } from "../system/fair-turns.ts";
import { canonicalAccount } from "../credentials/impersonation.ts";
import type { Config } from "../settings/serve.ts";
import { logPolicyEvents, logSecretEvents, logTlsEvents } from "../telemetry/server-events.ts";
import type { NamedAccounts } from "../tokens/named-accounts.ts";
import type { ServerContext } from "./context.ts";

/** Who is answered, and with which tokens. */
export interface Access {
  readonly secret: CheckSecret | undefined;
  readonly authorize: Authorize;
  /** Those of the callers that a policy tells apart. */
  readonly turns: FairTurns | undefined;
  readonly tls: TlsFiles | undefined;
  /** Verifies the accounts of the first policy. */
  readonly start: () => void;
  /** Reads the check secret, the certificates and the policy again. */
  readonly reload: () => void;
}

interface AccessParts {
  /** Gets the accounts of each new policy. */
  readonly accounts: Pick<NamedAccounts, "use">;
  readonly tls: TlsFiles | undefined;
}

/**
 * Opens the check secret and the policy; `starting` gets what closes them. Throws a StartError when
 * one cannot be used.
 */
export async function openAccess(
  config: Config,
  { accounts, tls }: AccessParts,
  context: ServerContext,
  starting: AsyncDisposableStack,
): Promise<Access> {
  const secret = await openSecret(config, context);
  if (secret !== undefined) starting.defer(secret.close);
  const policy = await openCallerPolicy(config, accounts, context);
  if (policy !== undefined) starting.defer(policy.close);
  const authorize = createAuthorize({
    chooseAudience: createAudienceRule({
      configured: config.audiences,
      allowed: config.allowAudiences,
      fromHost: config.audienceFromHost,
    }),
    allowClients: config.shared?.allowClients ?? [],
    policy,
  });

  function start(): void {
    if (policy !== undefined) void accounts.use(policy.accounts());
  }

  function reload(): void {
    void secret?.reload();
    void tls?.reload();
    void policy?.reload();
  }

  const turns = policy === undefined ? undefined : createFairTurns();
  return { secret, authorize, turns, tls, start, reload };
}

/** Opens the certificates for TLS, if there are any. Throws a StartError when they cannot be used. */
export async function openTls({ shared }: Config, { clock, log }: ServerContext) {
  if (shared === undefined) return undefined;
  // Loaded only where it is used, like the policy below: most servers have neither.
  const { openTlsFiles } = await import("../access/tls-files.ts");
  return openTlsFiles(shared.tls, clock, logTlsEvents(log));
}

async function openCallerPolicy(
  { shared, audienceFromHost }: Config,
  accounts: AccessParts["accounts"],
  { clock, log }: ServerContext,
) {
  if (shared?.policy === undefined) return undefined;
  const { openPolicy } = await import("../access/policy-file.ts");
  const options = { fromHost: audienceFromHost, parseAccount: canonicalAccount };
  const events = logPolicyEvents(log, () => void accounts.use(policy.accounts()));
  const policy = await openPolicy(shared.policy, options, clock, events);
  return policy;
}

async function openSecret({ checkSecretFile }: Config, { clock, log }: ServerContext) {
  if (checkSecretFile === undefined) return undefined;
  return openCheckSecret(checkSecretFile, clock, logSecretEvents(log));
}
