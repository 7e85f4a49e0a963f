import { performance } from "node:perf_hooks";
import type { AudienceChoice, CheckRequest } from "../access/audience.ts";
import type { CheckSecret } from "../access/check-secret.ts";
import { MintError, type MintCode, type RefusalCode } from "../system/errors.ts";
import type { CheckOutcome } from "../telemetry/metrics.ts";
import type { IdToken } from "../tokens/id-token.ts";

/** A check request, whatever its protocol. */
export interface Check extends CheckRequest {
  /** `x-authz-secret`. */
  readonly secret: string | undefined;
}

/** The answer to a check: a token, a denial, or a failure that may pass. */
export type Decision =
  | { readonly token: IdToken }
  | { readonly denied: RefusalCode }
  | { readonly failed: MintCode };

/** Decides one check: immediately if its token is cached, otherwise once it is minted. */
export type DecideCheck = (check: Check) => Decision | Promise<Decision>;

export interface DecisionOptions {
  /** Without it, anyone who can reach the server is answered. */
  readonly secret?: Pick<CheckSecret, "matches"> | undefined;
  readonly chooseAudience: (request: CheckRequest) => AudienceChoice;
  /** Rejects with a MintError. */
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  readonly checked: (outcome: CheckOutcome, durationMs: number) => void;
}

/** Creates the decision that every check goes through, over HTTP and gRPC alike. */
export function createDecision(options: DecisionOptions): DecideCheck {
  const { secret, chooseAudience, token, checked } = options;

  function finish(outcome: CheckOutcome, startedMs: number, decision: Decision): Decision {
    checked(outcome, performance.now() - startedMs);
    return decision;
  }

  return (check) => {
    const startedMs = performance.now();
    const deny = (denied: RefusalCode) => finish(denied, startedMs, { denied });
    if (secret?.matches(check.secret) === false) return deny("check_secret_wrong");
    const choice = chooseAudience(check);
    if ("refused" in choice) return deny(choice.refused);
    const found = token(choice.audience);
    // No promise for a cached token: the answer leaves in the same turn of the event loop.
    if (!(found instanceof Promise)) return finish("ok", startedMs, { token: found });
    return found.then(
      (minted) => finish("ok", startedMs, { token: minted }),
      (error: unknown) => {
        if (!(error instanceof MintError)) throw error;
        return finish(error.code, startedMs, { failed: error.code });
      },
    );
  };
}
