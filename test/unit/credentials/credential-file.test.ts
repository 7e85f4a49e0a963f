import { describe, expect, it } from "vitest";
import { parseCredential } from "../../../src/credentials/credential-file.ts";
import { StartError, UsageError } from "../../../src/system/errors.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const TARGET = "target@p.iam.gserviceaccount.com";
const URL_OF_TARGET = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${TARGET}:generateAccessToken`;
const OAUTH = "https://oauth2.googleapis.com/token";
const STS = "https://sts.googleapis.com/v1/token";
const user = {
  type: "authorized_user",
  client_id: "client",
  client_secret: "secret-of-the-client",
  refresh_token: "secret-of-the-user",
};
const federated = {
  type: "external_account",
  audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  service_account_impersonation_url: URL_OF_TARGET,
  credential_source: { file: "/token" },
};
const workforceUser = {
  type: "external_account_authorized_user",
  audience: "//iam.googleapis.com/locations/global/workforcePools/pool/providers/provider",
  client_id: "client",
  client_secret: "secret-of-the-client",
  refresh_token: "secret-of-the-user",
};
const impersonated = {
  type: "impersonated_service_account",
  service_account_impersonation_url: URL_OF_TARGET,
  source_credentials: user,
};

function parse(content: unknown, env: NodeJS.ProcessEnv = {}) {
  const bytes = Buffer.from(JSON.stringify(content));
  return parseCredential(bytes, "/credential.json", createFakeClock(), {
    env,
    impersonate: undefined,
  });
}

describe("a credential file", () => {
  it.each([
    [user, "authorized_user", "", OAUTH],
    [{ ...user, account: "someone@example.com" }, "authorized_user", "someone@example.com", OAUTH],
    [federated, "external_account", TARGET, STS],
    [impersonated, "impersonated_service_account", TARGET, OAUTH],
    [
      { ...impersonated, source_credentials: federated },
      "impersonated_service_account",
      TARGET,
      STS,
    ],
  ])("is parsed by its type: %j", (content, type, principal, endpoint) => {
    const credential = parse(content);
    expect(credential).toMatchObject({ type, principal, keyId: "" });
    expect(credential.endpoint.href).toBe(endpoint);
  });

  it.each([
    [
      { ...user, type: undefined },
      "its type is missing: give the file as gcloud or the Cloud Console wrote it",
    ],
    [{ type: "gdch_service_account" }, "not gdch_service_account"],
    [{ type: "a secret" }, "not what it says"],
    [{ ...user, refresh_token: undefined }, "its refresh_token is missing"],
    [{ ...user, client_id: 5 }, "its client_id is missing"],
    [{ ...user, quota_project_id: 5 }, "its quota_project_id is not a string"],
    [{ ...federated, audience: "" }, "its audience is missing"],
    [{ ...federated, subject_token_type: undefined }, "its subject_token_type is missing"],
    [{ ...federated, credential_source: "x" }, "its credential_source is missing"],
    [
      { ...federated, credential_source: {} },
      "its credential_source is none of file, url, AWS, certificate, executable",
    ],
    [
      { ...federated, credential_source: { environment_id: "aws2" } },
      "its credential_source is none of file, url, AWS, certificate, executable",
    ],
    [
      { ...federated, credential_source: { file: "/t", format: { type: "xml" } } },
      "its credential_source.format.type must be text or json",
    ],
    [
      { ...federated, credential_source: { file: "/t", format: { type: "json" } } },
      "its credential_source.format.subject_token_field_name is missing",
    ],
    [
      { ...federated, credential_source: { url: "https://a/t", headers: { a: 5 } } },
      "its credential_source.headers.a is not a string",
    ],
    [
      workforceUser,
      "a workforce user gets no ID tokens by itself: give --impersonate with a service account",
    ],
    [{ ...workforceUser, refresh_token: "" }, "its refresh_token is missing"],
    [{ ...impersonated, source_credentials: undefined }, "its source_credentials is missing"],
    [
      { ...impersonated, source_credentials: { ...user, client_secret: "" } },
      "its source_credentials.client_secret is missing",
    ],
    [{ ...impersonated, source_credentials: { type: "x" } }, "its source_credentials.type must be"],
    [{ ...impersonated, delegates: "a" }, "its delegates is not a list of strings"],
    [
      { ...impersonated, delegates: ["a"] },
      "its delegates are not all service accounts' addresses",
    ],
  ])("is refused if it is %j", (content, reason) => {
    const parsing = () => parse(content);
    expect(parsing).toThrow(StartError);
    expect(parsing).toThrow(`/credential.json: no usable credential: `);
    expect(parsing).toThrow(reason);
    expect(parsing).not.toThrow(/secret-of/);
  });

  it.each([
    [{ ...federated, token_url: "https://sts.example/" }, "token_url"],
    [{ ...federated, token_info_url: "http://sts.googleapis.com/" }, "token_info_url"],
    [
      { ...federated, service_account_impersonation_url: "https://iam.example/" },
      "service_account_impersonation_url",
    ],
    [
      { ...federated, service_account_impersonation_url: "https://iamcredentials.googleapis.com/" },
      "service_account_impersonation_url must end with",
    ],
    [{ ...federated, credential_source: { url: "http://idp.example/" } }, "credential_source.url"],
    [
      {
        ...federated,
        credential_source: { environment_id: "aws1", region_url: "http://x.example/" },
      },
      "credential_source.region_url",
    ],
    [{ ...user, token_uri: "https://oauth2.example/token" }, "token_uri"],
    [
      {
        ...impersonated,
        service_account_impersonation_url: "http://iamcredentials.googleapis.com/",
      },
      "service_account_impersonation_url",
    ],
  ])("is a configuration error if a URL leads elsewhere: %j", (content, name) => {
    const parsing = () => parse(content);
    expect(parsing).toThrow(UsageError);
    expect(parsing).toThrow(name);
  });

  it("is refused beside a wrong address of IAM Credentials, though only a policy may need that", () => {
    const env = { CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS: "http://iam.example" };
    expect(() => parse(user, env)).toThrow(UsageError);
  });

  it("may run a program only with the opt-in and a time limit within bounds", () => {
    const executable = (timeout_millis?: unknown) => ({
      ...federated,
      credential_source: { executable: { command: "/bin/true", timeout_millis } },
    });
    expect(() => parse(executable())).toThrow("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1");
    const env = { GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: "1" };
    expect(parse(executable(), env).principal).toBe(TARGET);
    expect(() => parse(executable(1), env)).toThrow("from 5000 to 120000");
  });
});
