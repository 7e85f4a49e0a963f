import type { AudienceChoice, CheckRequest } from "../access/audience.ts";
import type { CallerIdentity, Grant } from "../access/caller-rule.ts";
import { createMatcher } from "../access/pattern.ts";

/** Decides who gets a token for which audience, and of which account. Never throws. */
export type Authorize = (request: CheckRequest & CallerIdentity) => Grant;

export interface AuthorizeOptions {
  /** The rule if there is no policy. */
  readonly chooseAudience: (request: CheckRequest) => AudienceChoice;
  /** Names of clients, exact or with `*`; empty for every client. */
  readonly allowClients: readonly string[];
  readonly policy:
    | { readonly grant: (identity: CallerIdentity, request: CheckRequest) => Grant }
    | undefined;
}

/** Creates the rule that every check and push goes through. */
export function createAuthorize(options: AuthorizeOptions): Authorize {
  const { chooseAudience, allowClients, policy } = options;
  const isAllowed = createMatcher(allowClients);
  return (request) => {
    if (allowClients.length > 0 && !request.client.some(isAllowed)) {
      return { refused: "caller_not_allowed" };
    }
    return policy === undefined ? chooseAudience(request) : policy.grant(request, request);
  };
}
