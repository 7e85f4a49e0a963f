import type { Clock } from "../system/clock.ts";
import { StartError } from "../system/errors.ts";
import { showPath } from "../system/show.ts";
import type { Credential } from "./credential.ts";
import { parseAuthorizedUser } from "./authorized-user.ts";
import { parseExternalAccount } from "./external-account.ts";
import { parseWorkforceUser } from "./external-account-authorized-user.ts";
import { parseContent } from "./credential-content.ts";
import { fault, type Fields } from "./fields.ts";
import type { Identity } from "./identity.ts";
import {
  iamEndpoint,
  impersonate,
  parseImpersonation,
  type Impersonation,
} from "./impersonation.ts";
import { parseImpersonatedAccount } from "./impersonated-account.ts";
import { parseServiceAccount } from "./service-account.ts";

/** How a credential is used. */
export interface CredentialOptions {
  /** The account to impersonate with the credential; undefined to use it as it is. */
  readonly impersonate: Impersonation | undefined;
  /** The environment, in which Google's libraries have settings of their own. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Parses a credential file. Throws a StartError of one line that names the file and the reason and
 * shows nothing of the content.
 */
export function parseCredential(
  content: Buffer,
  path: string,
  clock: Clock,
  options: CredentialOptions,
): Credential {
  const name = showPath(path);
  const identity = parseIdentity(parseContent(content, name), options.env, clock);
  return toCredential(identity, name, clock, options);
}

/**
 * Makes a credential of an identity, or of the account that it is to impersonate; `name` is its
 * name in messages. Throws a StartError for an identity that gets no ID tokens by itself.
 */
export function toCredential(
  identity: Identity,
  name: string,
  clock: Clock,
  { impersonate: impersonation, env }: CredentialOptions,
): Credential {
  // A policy may need it later; a wrong one is an error now.
  const endpoint = iamEndpoint(env);
  const own =
    impersonation === undefined
      ? identity
      : impersonate(identity, { ...impersonation, endpoint }, clock);
  const { mint } = own;
  const mintAs = (account: string) =>
    impersonate(own, { ...parseImpersonation(account), endpoint }, clock).mint;
  // In place, because a metadata server's identity learns its principal only later.
  if (mint !== undefined) return Object.assign(own, { mint, mintAs });
  const reason = identity.type === "external_account" ? FEDERATED : WORKFORCE_USER;
  throw new StartError(`${name}: no usable credential: ${reason}`);
}

const FEDERATED =
  "a federated identity gets no ID tokens by itself: add a service_account_impersonation_url " +
  "(gcloud iam workload-identity-pools create-cred-config … --service-account=ACCOUNT), or give " +
  "--impersonate";
const WORKFORCE_USER =
  "a workforce user gets no ID tokens by itself: give --impersonate with a service account";

/** Parses the fields by their type. Throws a StartError. */
function parseIdentity(fields: Fields, env: NodeJS.ProcessEnv, clock: Clock): Identity {
  const { type } = fields.values;
  switch (type) {
    case "service_account":
      return parseServiceAccount(fields, clock);
    case "authorized_user":
      return parseAuthorizedUser(fields, clock);
    case "external_account":
      return parseExternalAccount(fields, env, clock);
    case "external_account_authorized_user":
      return parseWorkforceUser(fields, clock);
    case "impersonated_service_account":
      return parseImpersonatedAccount(fields, (source) => parseIdentity(source, env, clock), clock);
    case undefined:
    case null:
    case "":
      throw fault(
        fields,
        `its ${fields.prefix}type is missing: give the file as gcloud or the Cloud Console wrote it`,
      );
  }
  const isName = typeof type === "string" && /^[a-z_]{1,40}$/.test(type);
  throw fault(
    fields,
    `its ${fields.prefix}type must be service_account, authorized_user, external_account, ` +
      "external_account_authorized_user or impersonated_service_account, not " +
      (isName ? type : "what it says"),
  );
}
