import { CLOUD_PLATFORM } from "./assertion.ts";
import type { AccessTokens } from "./access-tokens.ts";
import type { TokenIssuer } from "./token-issuer.ts";

/** The IAM policy of each service account: who may impersonate it. */
export interface IamPolicy {
  /** Lets `member` impersonate `account`, and creates the account if needed. */
  readonly grant: (account: string, member: string) => void;
  readonly revoke: (account: string, member: string) => void;
  readonly allows: (account: string, member: string) => boolean;
}

/** One call of the API. */
export interface IamCall {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

/** A call and its outcome: `issued`, or a status code of Google's APIs. */
export interface IamEntry {
  readonly method: string;
  readonly account: string;
  readonly caller: string | undefined;
  readonly delegates: readonly string[];
  readonly outcome: string;
}

export interface IamParts {
  readonly issuer: TokenIssuer;
  readonly accessTokens: AccessTokens;
  readonly policy: IamPolicy;
}

/** Creates an empty policy. */
export function createIamPolicy(): IamPolicy {
  const members = new Map<string, Set<string>>();
  return {
    grant: (account, member) => {
      members.set(account, (members.get(account) ?? new Set()).add(member));
    },
    revoke: (account, member) => void members.get(account)?.delete(member),
    allows: (account, member) => members.get(account)?.has(member) === true,
  };
}

const PATH = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):(generateIdToken|generateAccessToken)$/;

/** Answers one call as the IAM Credentials API does. */
export async function answerIam(
  { path, authorization, body }: IamCall,
  { issuer, accessTokens, policy }: IamParts,
): Promise<{ readonly entry: IamEntry; readonly status: number; readonly answer: unknown }> {
  const [, account = "", method = ""] = PATH.exec(path) ?? [];
  const request = parseObject(body);
  const delegates = [request["delegates"] ?? []].flat().map(accountOf);
  const caller = accessTokens.holderOf(authorization);
  const entry = { method, account, caller, delegates };
  const refuse = (status: number, code: string, message: string, reason?: string) => {
    const details = reason === undefined ? {} : { details: [{ reason }] };
    const error = { code: status, status: code, message, ...details };
    return { entry: { ...entry, outcome: code }, status, answer: { error } };
  };
  if (method === "") return refuse(404, "NOT_FOUND", "Not found.");
  if (caller === undefined) return refuse(401, "UNAUTHENTICATED", "Invalid credentials.");
  const chain = [caller, ...delegates, account];
  if (!chain.slice(1).every((each, index) => policy.allows(each, chain[index] ?? ""))) {
    const permission = "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource.";
    return refuse(403, "PERMISSION_DENIED", permission, "IAM_PERMISSION_DENIED");
  }
  const issued = { ...entry, outcome: "issued" };
  if (method === "generateAccessToken") {
    if (![request["scope"]].flat().includes(CLOUD_PLATFORM)) {
      return refuse(400, "INVALID_ARGUMENT", "Scope required.");
    }
    const expireTime = new Date((issuer.nowSeconds() + 3600) * 1000).toISOString();
    const answer = { accessToken: accessTokens.issue(account), expireTime };
    return { entry: issued, status: 200, answer };
  }
  const { audience } = request;
  if (typeof audience !== "string" || audience === "") {
    return refuse(400, "INVALID_ARGUMENT", "Audience required.");
  }
  // The email claim is included only on request.
  const email = request["includeEmail"] === true ? {} : { email: undefined };
  const token = await issuer.sign({ account, audience }, email);
  return { entry: issued, status: 200, answer: { token } };
}

function accountOf(name: unknown): string {
  return String(name).replace(/^projects\/-\/serviceAccounts\//, "");
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}
