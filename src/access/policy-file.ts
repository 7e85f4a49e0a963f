import type { Clock } from "../system/clock.ts";
import { StartError } from "../system/errors.ts";
import { openFollowedFile } from "../system/followed-file.ts";
import type { CheckRequest } from "./audience.ts";
import { createCallerRule, type CallerIdentity, type Grant } from "./caller-rule.ts";
import { parsePolicy, type Policy } from "./policy.ts";

/** The policy in use, which follows its file. */
export interface PolicyFile {
  /** Decides by the policy of the moment. Never throws. */
  readonly grant: (identity: CallerIdentity, request: CheckRequest) => Grant;
  /** The accounts that the policy of the moment names. */
  readonly accounts: () => ReadonlySet<string>;
  /** Reads the file again. Never rejects. */
  readonly reload: () => Promise<void>;
  /** Ends the watch of the file. */
  readonly close: () => void;
}

export interface PolicyEvents {
  /** Another policy is in use from now on. */
  readonly policyChanged: (policy: Policy) => void;
  /** The file cannot be used; the policy in use stays. */
  readonly policyUnusable: (error: StartError) => void;
}

export interface PolicyOptions {
  /** Whether a check that names no audience, and has no default, uses its Host. */
  readonly fromHost: boolean;
  /** Brings what `impersonate` names into one form. Throws an Error whose message is the rule. */
  readonly parseAccount: (text: string) => string;
}

/**
 * Reads the policy and follows its file. Rejects with a StartError if it cannot be read, or a
 * UsageError that lists every fault.
 */
export async function openPolicy(
  path: string,
  { fromHost, parseAccount }: PolicyOptions,
  clock: Clock,
  events: PolicyEvents,
): Promise<PolicyFile> {
  const file = await openFollowedFile(path, "the policy", clock);
  const parse = (content: Buffer) => parsePolicy(content.toString("utf8"), path, parseAccount);
  let policy = parse(file.initial);
  let grant = createCallerRule(policy, { fromHost });
  file.follow({
    changed: (content) => {
      try {
        policy = parse(content);
        grant = createCallerRule(policy, { fromHost });
        events.policyChanged(policy);
      } catch (error) {
        if (!(error instanceof StartError)) throw error;
        events.policyUnusable(error);
      }
    },
    unreadable: events.policyUnusable,
  });
  return {
    grant: (identity, request) => grant(identity, request),
    accounts: () => new Set(policy.callers.flatMap(({ account = [] }) => account)),
    reload: file.look,
    close: file.close,
  };
}
