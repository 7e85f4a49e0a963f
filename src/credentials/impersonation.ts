import type { Clock } from "../system/clock.ts";
import { MintError, UsageError } from "../system/errors.ts";
import { postJson, type Answer, type Peer, type RefusedRequest } from "../google/exchange.ts";
import {
  CLOUD_PLATFORM,
  createAccessTokenSource,
  type AccessToken,
} from "../google/access-token.ts";
import { bearerOf, idTokenOf, jsonOf, lifeOf } from "../google/answers.ts";
import { TOKEN_CREATOR, type Identity } from "./identity.ts";
import { parseUrl } from "./urls.ts";

/** The account to impersonate, and the delegates on the way to it. */
export interface Impersonation {
  readonly account: string;
  /** Each can impersonate the next, and the last can impersonate the account. */
  readonly delegates: readonly string[];
}

/** The same, with the address of the IAM Credentials API. */
export interface ImpersonationTarget extends Impersonation {
  /** The part of its URLs before `/v1/`. */
  readonly endpoint: URL;
}

const SERVICE_ACCOUNT = /^[a-z0-9][\w.+-]*@(?:[\w-]+\.)*gserviceaccount\.com$/i;
const GOOGLE_ENDPOINT = "https://iamcredentials.googleapis.com/";
/** A setting of gcloud, used for Private Service Connect. */
const ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";
const ACCESS_LIFE = "3600s";

/** Parses `ACCOUNT[,DELEGATE…]`. Throws an Error whose message is the rule. */
export function parseImpersonation(text: string): Impersonation {
  const [account = "", ...delegates] = text.split(",").map((each) => each.trim());
  if (![account, ...delegates].every((each) => SERVICE_ACCOUNT.test(each))) {
    throw new Error(
      "must be ACCOUNT[,DELEGATE…], each a service account's e-mail address (…gserviceaccount.com)",
    );
  }
  return { account, delegates };
}

/** Brings `ACCOUNT[,DELEGATE…]` into one form. Throws like `parseImpersonation`. */
export function canonicalAccount(text: string): string {
  const { account, delegates } = parseImpersonation(text);
  return [account, ...delegates].join(",");
}

/** The IAM Credentials API for `--impersonate`, which no file configures. Throws a UsageError. */
export function iamEndpoint(env: NodeJS.ProcessEnv): URL {
  const endpoint = env[ENDPOINT_VARIABLE] || GOOGLE_ENDPOINT;
  return parseUrl(endpoint, ENDPOINT_VARIABLE, "googleApi");
}

/**
 * Parses the path of a `service_account_impersonation_url`; `name` is its name in messages. Throws a
 * UsageError.
 */
export function parseImpersonationUrl(url: URL, name: string): ImpersonationTarget {
  const match = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):generateAccessToken$/.exec(
    url.pathname.replace("%40", "@"),
  );
  const account = match?.[1];
  if (account === undefined || !SERVICE_ACCOUNT.test(account)) {
    throw new UsageError([
      `${name} must end with /v1/projects/-/serviceAccounts/ACCOUNT:generateAccessToken`,
    ]);
  }
  return { account, delegates: [], endpoint: new URL(url.origin) };
}

/**
 * Creates the identity of an account from one that can impersonate it. The IAM Credentials API mints
 * its ID tokens (`generateIdToken`) and access tokens (`generateAccessToken`).
 */
export function impersonate(
  source: Identity,
  target: ImpersonationTarget,
  clock: Clock,
): Identity & { readonly mint: NonNullable<Identity["mint"]> } {
  const { account } = target;
  return {
    type: source.type,
    principal: account,
    keyId: source.keyId,
    endpoint: source.endpoint,
    mint: async (audience, signal) => {
      const obtainedAt = clock.now();
      const request = { audience, includeEmail: true, useEmailAzp: true };
      const { answer, peer } = await call("generateIdToken", request, source, target, signal);
      return idTokenOf(jsonOf(answer, peer)["token"], audience, obtainedAt, answer, peer);
    },
    accessTokens: createAccessTokenSource(async (signal): Promise<AccessToken> => {
      const obtainedAt = clock.now();
      const request = { scope: [CLOUD_PLATFORM], lifetime: ACCESS_LIFE };
      const { answer, peer } = await call("generateAccessToken", request, source, target, signal);
      const fields = jsonOf(answer, peer);
      const endsAtMs = Date.parse(String(fields["expireTime"]));
      return {
        headers: { authorization: bearerOf(fields["accessToken"], peer) },
        fetch: peer.fetch,
        obtainedAt,
        lifeMs: lifeOf(endsAtMs - (answer.issuerNowMs ?? obtainedAt.wallMs), peer),
      };
    }, clock),
    grantee: () => ({ member: `serviceAccount:${account}`, role: TOKEN_CREATOR }),
  };
}

async function call(
  method: "generateIdToken" | "generateAccessToken",
  request: Readonly<Record<string, unknown>>,
  { accessTokens, grantee }: Identity,
  target: ImpersonationTarget,
  signal: AbortSignal,
): Promise<{ readonly answer: Answer; readonly peer: Peer }> {
  const { account, delegates, endpoint } = target;
  const accessToken = await accessTokens.get(signal);
  const peer: Peer = {
    name: `IAM Credentials, asked for a token of ${account},`,
    remedy: (refused) => remedy(refused, target, grantee()),
    fetch: accessToken.fetch,
  };
  const url = new URL(`v1/projects/-/serviceAccounts/${account}:${method}`, endpoint);
  const chain = delegates.map((each) => `projects/-/serviceAccounts/${each}`);
  try {
    const body = { ...request, delegates: chain };
    return { answer: await postJson(url, body, signal, peer, accessToken.headers), peer };
  } catch (error) {
    // The next mint obtains a new one.
    if (error instanceof MintError && error.permanent) accessTokens.forget(accessToken);
    throw error;
  }
}

function remedy(
  { code, reason }: RefusedRequest,
  { account, delegates }: ImpersonationTarget,
  { member, role }: ReturnType<Identity["grantee"]>,
): string {
  if (reason === "SERVICE_DISABLED") {
    return "enable the API: gcloud services enable iamcredentials.googleapis.com";
  }
  if (reason === "ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
    return "give the machine the scope cloud-platform: gcloud compute instances set-service-account VM --scopes=cloud-platform";
  }
  if (code === "NOT_FOUND") {
    return `there may be no such account: gcloud iam service-accounts describe ${account}`;
  }
  if (code !== "PERMISSION_DENIED") return "";
  const [first = account] = delegates;
  const needed = delegates.length > 0 ? TOKEN_CREATOR : role;
  const grant = `grant ${needed}: gcloud iam service-accounts add-iam-policy-binding ${first} --role=${needed} --member="${member}"`;
  if (delegates.length === 0) return grant;
  return `${grant}, and the same role to each delegate on the next, the last one on ${account}`;
}
