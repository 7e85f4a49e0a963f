import {
  AwsClient,
  IdentityPoolClient,
  type AwsClientOptions,
  type IdentityPoolClientOptions,
} from "google-auth-library";
import { Agent } from "node:https";
import { requireOk, send, type Peer } from "../google/exchange.ts";
import { createFetch, type Fetch } from "../system/fetch.ts";
import { MintError, UsageError } from "../system/errors.ts";
import { fault, objectField, textField, type Fields } from "./fields.ts";
import type { SubjectTokenSource } from "./subject-token.ts";
import { parseUrl, urlField } from "./urls.ts";

type LibraryClient = AwsClient | IdentityPoolClient;
type LibraryOptions = IdentityPoolClientOptions & AwsClientOptions;
type SourceOptions = NonNullable<LibraryOptions["credential_source"]>;

/** Which client of the library finds the subject token, and how its failures are explained. */
interface Kind {
  readonly create: (options: LibraryOptions) => LibraryClient;
  /** What to check when the library fails for a reason of its own. */
  readonly remedy: string;
  /** What to do when the provider's server cannot be reached. */
  readonly absence?: string;
}

const AWS_VARIABLES = "AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
const AWS: Kind = {
  create: (options) => new AwsClient(options),
  remedy: `AWS: set ${AWS_VARIABLES}, or check the role of the EC2 instance`,
  absence:
    `only EC2 instances have this server; elsewhere set ${AWS_VARIABLES}: ` +
    "the role of an ECS or Fargate task is not read",
};
const CERTIFICATE: Kind = {
  create: (options) => new IdentityPoolClient(options),
  remedy:
    "the client certificate: check certificate_config_location and the cert_path and key_path " +
    "that it names",
};
/** A metadata server answers within milliseconds; elsewhere its address may just be silent. */
const PROVIDER_TIMEOUT_MS = 2000;

/**
 * Creates a source that signs a request to AWS as the subject token, with the keys in the
 * environment or those of the EC2 instance. Throws a StartError.
 */
export function createAwsSource(
  fields: Fields,
  source: Fields,
  env: NodeJS.ProcessEnv,
): SubjectTokenSource {
  for (const name of ["url", "region_url", "imdsv2_session_token_url"]) {
    urlField(source, name, "identityProvider");
  }
  return createLibrarySource(fields, AWS, env);
}

/** Creates a source that reads a client certificate (X.509). Throws a StartError. */
export function createCertificateSource(
  fields: Fields,
  env: NodeJS.ProcessEnv,
): SubjectTokenSource {
  // A certificate is presented in a TLS handshake, or not at all.
  for (const name of ["token_url", "service_account_impersonation_url"]) {
    if (urlField(fields, name, "googleApi")?.protocol !== "http:") continue;
    throw new UsageError([`${fields.path}: its ${name} must be https for a client certificate`]);
  }
  return createLibrarySource(fields, CERTIFICATE, env);
}

/** Lets the library find the subject token; its requests are sent and their answers judged here. */
function createLibrarySource(
  fields: Fields,
  { create, remedy, absence }: Kind,
  env: NodeJS.ProcessEnv,
): SubjectTokenSource {
  const prepare = (fetchImplementation: typeof fetch) =>
    create({
      audience: textField(fields, "audience"),
      subject_token_type: textField(fields, "subject_token_type"),
      credential_source: objectField(fields, "credential_source").values as SourceOptions,
      // Otherwise it logs answers, with their tokens, if an environment variable says so.
      useAuthRequestParameters: false,
      transporterOptions: { retryConfig: { retry: 0 }, fetchImplementation },
    });
  try {
    prepare(fetch);
  } catch {
    throw fault(fields, "its credential_source is none of file, url, AWS, certificate, executable");
  }
  return async (signal) => {
    const failure: { error?: unknown } = {};
    const client = prepare(async (input, init) => {
      try {
        return await ask(input, init ?? {}, signal, absence);
      } catch (error) {
        failure.error = error;
        throw error;
      }
    });
    try {
      const token = (await client.retrieveSubjectToken()).trim();
      if (token !== "") return { token, fetch: certificateFetch(client, env) };
    } catch {
      // Its own errors contain the request, or quote the file of the token.
    }
    throw failure.error ?? new MintError("mint_unavailable", `no subject token from ${remedy}`);
  };
}

async function ask(
  input: Parameters<typeof fetch>[0],
  init: RequestInit,
  signal: AbortSignal,
  absence: string | undefined,
): Promise<Response> {
  const url = parseUrl(new Request(input).url, "the identity provider's URL", "identityProvider");
  const peer: Peer = {
    name: `the identity provider at ${url.host}`,
    ...(absence !== undefined && { absence }),
  };
  const { method, headers } = new Request(input, init);
  const soon = AbortSignal.any([signal, AbortSignal.timeout(PROVIDER_TIMEOUT_MS)]);
  const answer = requireOk(
    await send(url, { method, headers: Object.fromEntries(headers) }, soon, peer),
    peer,
  );
  return new Response(answer.body, { headers: [...answer.headers] });
}

/** The library keeps the certificate in an agent, which only its own requests would use. */
function certificateFetch(
  { transporter }: LibraryClient,
  env: NodeJS.ProcessEnv,
): Fetch | undefined {
  const agent = transporter.defaults.agent as Agent | undefined;
  const { cert, key } = agent?.options ?? {};
  if (cert === undefined || key === undefined) return undefined;
  return createFetch(new Agent({ cert, key, proxyEnv: env }));
}
