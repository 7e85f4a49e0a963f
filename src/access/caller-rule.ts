import type { RefusalCode } from "../system/errors.ts";
import { createAudienceRule, type AudienceChoice, type CheckRequest } from "./audience.ts";
import { createMatcher } from "./pattern.ts";
import type { Policy, PolicyCaller } from "./policy.ts";

/** The header in which a trusted client attests the principal behind it. */
export const PRINCIPAL_HEADER = "x-authz-principal";

/** Who sent a request. */
export interface CallerIdentity {
  /** The DNS names and URIs of the client's verified certificate; empty without one. */
  readonly client: readonly string[];
  /** The principal that the client attests of the workload behind it; undefined for none. */
  readonly principal: string | undefined;
}

/**
 * What a caller gets. `caller` names its entry in the policy, if it has one; without an `account`
 * it is the server's own.
 */
export type Grant = { readonly caller?: string } & (
  | { readonly audience: string; readonly account?: string | undefined }
  | { readonly refused: RefusalCode }
);

/**
 * Creates the rule that every request goes through if there is a policy: the first entry that fits
 * the caller decides. A principal counts only if a trusted client attests it. Of such a client nothing
 * else counts, not even where it names no principal, as Envoy does for a workload without a name in
 * its certificate: it never gets for its callers what is its own. The rule never throws.
 */
export function createCallerRule(
  { callers, principalsFrom }: Policy,
  options: { readonly fromHost: boolean },
): (identity: CallerIdentity, request: CheckRequest) => Grant {
  const mayAttest = createMatcher(principalsFrom);
  const entries = callers.map((caller) => ({
    ...caller,
    fits: createMatcher([caller.name]),
    choose: chooserOf(caller, options.fromHost),
  }));

  return ({ client, principal }, request) => {
    const attests = client.some(mayAttest);
    const kind = attests ? "principal" : "client";
    const names = attests ? [principal ?? ""] : client;
    const entry = entries.find((each) => each.kind === kind && names.some(each.fits));
    if (entry === undefined) return { refused: "caller_not_allowed" };
    const choice = entry.choose(request);
    return { caller: entry.name, account: entry.account, ...choice };
  };
}

function chooserOf(
  { audiences }: PolicyCaller,
  fromHost: boolean,
): (request: CheckRequest) => AudienceChoice {
  const configured = audiences.slice(0, 1).filter((audience) => !audience.includes("*"));
  return createAudienceRule({ configured, allowed: audiences, fromHost });
}
