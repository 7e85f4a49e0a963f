import type { Clock } from "../system/clock.ts";
import { postForm, type Peer } from "../google/exchange.ts";
import {
  accessTokenOf,
  CLOUD_PLATFORM,
  createAccessTokenSource,
  quotaProject,
  type ObtainAccessToken,
} from "../google/access-token.ts";
import { basicAuthorization } from "./client-authentication.ts";
import { optionalText, textField, type Fields } from "./fields.ts";
import { describeProvider, granteeOf } from "./identity-pool.ts";
import type { Identity } from "./identity.ts";
import { impersonate, parseImpersonationUrl, type ImpersonationTarget } from "./impersonation.ts";
import { createSubjectTokenSource } from "./credential-source.ts";
import { urlField } from "./urls.ts";

/** Google's Security Token Service, as a credential file describes it. */
interface TokenService {
  readonly url: URL;
  /** The provider's resource name. */
  readonly audience: string;
  readonly subjectTokenType: string;
  /** The OAuth client's authentication; empty for a workload, which needs none. */
  readonly headers: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
}

const GOOGLE_TOKEN_URL = new URL("https://sts.googleapis.com/v1/token");

/**
 * Parses an `external_account` file: a subject token of an identity provider is exchanged for a
 * federated access token (RFC 8693), which then impersonates an account. Throws a StartError.
 */
export function parseExternalAccount(
  fields: Fields,
  env: NodeJS.ProcessEnv,
  clock: Clock,
): Identity {
  const audience = textField(fields, "audience");
  const service: TokenService = {
    url: urlField(fields, "token_url", "googleApi") ?? GOOGLE_TOKEN_URL,
    audience,
    subjectTokenType: textField(fields, "subject_token_type"),
    ...clientOf(fields),
  };
  urlField(fields, "token_info_url", "googleApi");
  const target = targetOf(fields);
  const subjectTokens = createSubjectTokenSource(fields, env, target?.account);
  const project = quotaProject(optionalText(fields, "quota_project_id"));
  const obtain: ObtainAccessToken = async (signal) => {
    const { token, fetch } = await subjectTokens(signal);
    const obtainedAt = clock.now();
    const peer: Peer = { name: "Google's STS", remedy: () => remedy(audience), fetch };
    const form = exchangeForm(service, token);
    const answer = await postForm(service.url, form, signal, peer, service.headers);
    return accessTokenOf(answer, obtainedAt, peer, project);
  };
  const federated: Identity = {
    type: "external_account",
    principal: "",
    keyId: "",
    endpoint: service.url,
    mint: undefined,
    accessTokens: createAccessTokenSource(obtain, clock),
    grantee: () => granteeOf(audience),
  };
  return target === undefined ? federated : impersonate(federated, target, clock);
}

function targetOf(fields: Fields): ImpersonationTarget | undefined {
  const name = "service_account_impersonation_url";
  const url = urlField(fields, name, "googleApi");
  return url && parseImpersonationUrl(url, `${fields.path}: its ${fields.prefix}${name}`);
}

function exchangeForm(
  { audience, subjectTokenType, options }: TokenService,
  subjectToken: string,
): URLSearchParams {
  return new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
    audience,
    scope: CLOUD_PLATFORM,
    subject_token: subjectToken,
    subject_token_type: subjectTokenType,
    ...options,
  });
}

/** Credentials of a workforce pool name an OAuth client, or else a project instead of one. */
function clientOf(fields: Fields): Pick<TokenService, "headers" | "options"> {
  const id = optionalText(fields, "client_id");
  const secret = optionalText(fields, "client_secret") ?? "";
  const userProject = optionalText(fields, "workforce_pool_user_project");
  if (id !== undefined) {
    return { headers: basicAuthorization(id, secret), options: {} };
  }
  const options = userProject === undefined ? {} : { options: JSON.stringify({ userProject }) };
  return { headers: {}, options };
}

function remedy(audience: string): string {
  const command = describeProvider(audience);
  const expected = command === undefined ? `of ${audience}` : `that this prints: ${command}`;
  return `compare the subject token's issuer, audience and attributes with those ${expected}`;
}
