import { performance } from "node:perf_hooks";
import type { CheckRequest } from "../access/audience.ts";
import type { CallerIdentity, Grant } from "../access/caller-rule.ts";
import type { CheckSecret } from "../access/check-secret.ts";
import { MintError, type MintCode, type RefusalCode } from "../system/errors.ts";
import type { CheckOutcome } from "../telemetry/request-metrics.ts";
import type { TokenRequest } from "../tokens/account-tokens.ts";
import type { IdToken } from "../tokens/id-token.ts";
import type { Authorize } from "./authorize.ts";
import type { FairTurns } from "../system/fair-turns.ts";

/** A check request, whatever its protocol. */
export interface Check extends CheckRequest, CallerIdentity {
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
  readonly authorize: Authorize;
  /** Undefined if callers are not told apart: requests then go on as they arrive. */
  readonly turns: FairTurns | undefined;
  /** Rejects with a MintError. */
  readonly token: (request: TokenRequest) => IdToken | Promise<IdToken>;
  /** Called for each check; `caller` is its entry in the policy, if there is one. */
  readonly checked: (outcome: CheckOutcome, durationMs: number, caller?: string) => void;
  /** Called for each denial. */
  readonly denied: (denial: Denial) => void;
}

/** A request that was denied, for the audit. */
export interface Denial extends CheckRequest, CallerIdentity {
  readonly code: RefusalCode;
  /** The caller's entry in the policy, if it has one. */
  readonly caller: string | undefined;
}

/** Creates the decision that every check goes through, over HTTP and gRPC alike. */
export function createDecision(options: DecisionOptions): DecideCheck {
  const { secret, authorize, turns, token, checked, denied } = options;

  /** Runs the rest of a check, when it is the caller's turn. */
  function inTurn(
    { caller = "" }: Grant,
    rest: () => Decision | Promise<Decision>,
  ): Decision | Promise<Decision> {
    const turn = turns?.take(caller);
    // No promise without a need: the answer leaves in the same turn of the event loop.
    return turn === undefined ? rest() : turn.then(rest);
  }

  return (check) => {
    const startedMs = performance.now();
    const grant = secret?.matches(check.secret) === false ? WRONG_SECRET : authorize(check);
    const { caller } = grant;

    function finish(outcome: CheckOutcome, decision: Decision): Decision {
      checked(outcome, performance.now() - startedMs, caller);
      return decision;
    }

    if (turns?.isFull(caller ?? "") === true) {
      return finish("mint_unavailable", { failed: "mint_unavailable" });
    }
    return inTurn(grant, () => {
      if ("refused" in grant) {
        const code = grant.refused;
        const { named, host, client, principal } = check;
        denied({ code, caller, named, host, client, principal });
        return finish(code, { denied: code });
      }
      const found = token(grant);
      if (!(found instanceof Promise)) return finish("ok", { token: found });
      return found.then(
        (minted) => inTurn(grant, () => finish("ok", { token: minted })),
        (error: unknown) => {
          if (!(error instanceof MintError)) throw error;
          return inTurn(grant, () => finish(error.code, { failed: error.code }));
        },
      );
    });
  };
}

const WRONG_SECRET: Grant = { refused: "check_secret_wrong" };
