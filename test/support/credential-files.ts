import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startGoogleApis, type GoogleApis } from "./google-apis.ts";
import {
  FEDERATED_PRINCIPAL,
  startIdentityProvider,
  type IdentityProvider,
} from "./identity-provider.ts";
import { startMetadataServer, type MetadataServer } from "./metadata-server.ts";
import type { User } from "./refresh-grant.ts";
import { createServiceAccount } from "./service-account.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";
import { startTokenEndpoint, type TokenEndpoint } from "./token-endpoint.ts";

/** A credential file's content. */
export type FileContent = Readonly<Record<string, unknown>>;

/** Every kind of credential that a caller can have, each valid at the stand-ins. */
export interface Credentials extends AsyncDisposable {
  readonly endpoint: TokenEndpoint;
  readonly apis: GoogleApis;
  readonly metadata: MetadataServer;
  readonly provider: IdentityProvider;
  readonly user: User;
  readonly files: {
    readonly serviceAccount: FileContent;
    readonly authorizedUser: FileContent;
    readonly impersonated: FileContent;
    /** Workload identity federation: the subject token in a file, from a URL, from AWS. */
    readonly federatedByFile: FileContent;
    readonly federatedByUrl: FileContent;
    readonly federatedByAws: FileContent;
    /** From a program that prints it. */
    readonly federatedByExecutable: FileContent;
  };
  /** Writes a file into a temporary folder and returns its path. */
  readonly write: (content: FileContent | string, name?: string) => Promise<string>;
  /** The path of the file with the subject token. */
  readonly subjectTokenFile: string;
  /** The environment variables that direct the server to the stand-ins. */
  readonly env: Readonly<Record<string, string>>;
}

/** The account that the credentials impersonate. */
export const TARGET = "target@test-project.iam.gserviceaccount.com";
export const DELEGATE = "delegate@test-project.iam.gserviceaccount.com";
export const KEY_ACCOUNT = "caller@test-project.iam.gserviceaccount.com";
export const MACHINE_ACCOUNT = "machine@test-project.iam.gserviceaccount.com";

/** Starts the stand-ins, with this token endpoint or a new one, and creates every credential. */
export async function createCredentials(beside?: TokenEndpoint): Promise<Credentials> {
  await using parts = new AsyncDisposableStack();
  const endpoint = beside ?? parts.use(await startTokenEndpoint());
  const { issuer, accessTokens } = endpoint;
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const apis = parts.use(await startGoogleApis({ issuer, accessTokens }));
  const account = MACHINE_ACCOUNT;
  const metadata = parts.use(await startMetadataServer({ issuer, accessTokens, account }));
  const provider = parts.use(await startIdentityProvider());
  apis.register(provider.oidc);
  apis.register(provider.aws);
  const key = createServiceAccount({ tokenUri: endpoint.url, clientEmail: KEY_ACCOUNT });
  endpoint.register(key);
  const user = createUser();
  endpoint.registerUser(user);
  for (const member of [KEY_ACCOUNT, MACHINE_ACCOUNT, user.email, FEDERATED_PRINCIPAL]) {
    apis.policy.grant(TARGET, member);
  }
  const subjectTokenFile = join(folder, "subject-token");
  const subjectToken = await provider.subjectToken();
  await writeFile(subjectTokenFile, `${subjectToken}\n`);
  const printed = {
    version: 1,
    success: true,
    token_type: provider.oidc.subjectTokenType,
    id_token: subjectToken,
  };
  await writeFile(`${subjectTokenFile}.json`, JSON.stringify(printed));
  const write = async (content: FileContent | string, name = "credential.json") => {
    const path = join(folder, name);
    await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };
  const all = parts.move();
  return {
    endpoint,
    apis,
    metadata,
    provider,
    user,
    files: filesFor(apis, provider, key.keyFile, userFile(user, endpoint), subjectTokenFile),
    write,
    subjectTokenFile,
    env: {
      CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS: apis.url,
      GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: "1",
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function filesFor(
  apis: GoogleApis,
  provider: IdentityProvider,
  serviceAccount: FileContent,
  authorizedUser: FileContent,
  subjectTokenFile: string,
): Credentials["files"] {
  const service_account_impersonation_url = impersonationUrl(apis, TARGET);
  const federated = (of: IdentityProvider["oidc"], credential_source: FileContent) => ({
    type: "external_account",
    audience: of.audience,
    subject_token_type: of.subjectTokenType,
    token_url: `${apis.url}/v1/token`,
    token_info_url: `${apis.url}/v1/introspect`,
    service_account_impersonation_url,
    credential_source,
  });
  const aws = `${provider.url}/latest/meta-data`;
  return {
    serviceAccount,
    authorizedUser,
    impersonated: {
      type: "impersonated_service_account",
      service_account_impersonation_url,
      delegates: [],
      source_credentials: authorizedUser,
    },
    federatedByFile: federated(provider.oidc, { file: subjectTokenFile }),
    federatedByUrl: federated(provider.oidc, {
      url: `${provider.url}/token`,
      headers: provider.headers,
      format: { type: "json", subject_token_field_name: "value" },
    }),
    federatedByExecutable: federated(provider.oidc, {
      executable: { command: `/bin/cat "${subjectTokenFile}.json"` },
    }),
    federatedByAws: federated(provider.aws, {
      environment_id: "aws1",
      region_url: `${aws}/placement/availability-zone`,
      url: `${aws}/iam/security-credentials`,
      imdsv2_session_token_url: `${provider.url}/latest/api/token`,
      regional_cred_verification_url:
        "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    }),
  };
}

/** The `service_account_impersonation_url` of an account. */
export function impersonationUrl({ url }: GoogleApis, account: string): string {
  return `${url}/v1/projects/-/serviceAccounts/${account}:generateAccessToken`;
}

function createUser(): User {
  return {
    email: "someone@example.com",
    clientId: "client.apps.googleusercontent.com",
    clientSecret: randomBytes(12).toString("hex"),
    refreshToken: `1//${randomBytes(24).toString("hex")}`,
  };
}

/** What `gcloud auth application-default login` writes. */
export function userFile(user: User, { url }: TokenEndpoint): FileContent {
  return {
    type: "authorized_user",
    account: user.email,
    client_id: user.clientId,
    client_secret: user.clientSecret,
    refresh_token: user.refreshToken,
    token_uri: url,
  };
}
