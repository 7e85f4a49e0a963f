import { CLOUD_PLATFORM, type TokenRefusal } from "./assertion.ts";

/** A provider of a workload identity pool: verifies subject tokens and maps them to principals. */
export interface Provider {
  /** Its resource name, which is the `audience` of credential files. */
  readonly audience: string;
  readonly subjectTokenType: string;
  /** Returns the principal of a subject token, or undefined for an invalid one. */
  readonly verify: (subjectToken: string, request: StsRequest) => Promise<string | undefined>;
}

export interface StsRequest {
  readonly form: URLSearchParams;
  /** The client's certificate (DER, base64), if it presented one. */
  readonly certificate: string | undefined;
}

export type StsVerdict = { readonly principal: string } | { readonly refusal: TokenRefusal };

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

/** Checks a token exchange (RFC 8693) as Google's Security Token Service does. */
export async function judgeExchange(
  request: StsRequest,
  providers: readonly Provider[],
): Promise<StsVerdict> {
  const { form } = request;
  if (form.get("grant_type") !== GRANT_TYPE) return refuse("unsupported_grant_type", "grant_type");
  if (form.get("requested_token_type") !== ACCESS_TOKEN) {
    return refuse("invalid_request", "Invalid requested_token_type.");
  }
  if (form.get("scope") !== CLOUD_PLATFORM) return refuse("invalid_scope", "Invalid scope.");
  const provider = providers.find(({ audience }) => audience === form.get("audience"));
  if (provider === undefined) {
    return refuse("invalid_target", "The target service indicated by the audience is invalid.");
  }
  if (form.get("subject_token_type") !== provider.subjectTokenType) {
    return refuse("invalid_request", "Invalid subject_token_type.");
  }
  const principal = await provider.verify(form.get("subject_token") ?? "", request);
  if (principal !== undefined) return { principal };
  return refuse("invalid_grant", "The subject token is not accepted by the provider.");
}

function refuse(error: string, description: string): StsVerdict {
  return { refusal: { error, description } };
}
