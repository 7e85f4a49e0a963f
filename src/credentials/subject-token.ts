import {
  AwsClient,
  IdentityPoolClient,
  type AwsClientOptions,
  type IdentityPoolClientOptions,
} from "google-auth-library";
import type { Agent } from "node:https";
import { MintError, UsageError } from "../system/errors.ts";
import { requireOk, send, type Fetch, type Peer } from "../google/exchange.ts";
import { fetchByCertificate } from "./client-certificate.ts";
import { parseExecutable, runExecutable } from "./executable-source.ts";
import { fault, objectField, textField, type Fields } from "./fields.ts";
import { parseUrl, urlField } from "./urls.ts";

/** What an identity provider says of this workload. Never log it. */
interface SubjectToken {
  readonly token: string;
  /** How it must be presented; undefined for Node's own `fetch`. */
  readonly fetch: Fetch | undefined;
}

/** Obtains a subject token. Rejects with a MintError. */
type SubjectTokenSource = (signal: AbortSignal) => Promise<SubjectToken>;

/**
 * Reads the `credential_source` of an `external_account` file: a file, a URL, AWS, a client
 * certificate (X.509) or, where the environment allows it, an executable. Throws a StartError.
 */
export function createSubjectTokenSource(
  fields: Fields,
  env: NodeJS.ProcessEnv,
  account: string | undefined,
): SubjectTokenSource {
  const source = objectField(fields, "credential_source");
  const { values } = source;
  if (values["executable"] !== undefined) {
    const executable = parseExecutable(fields, source, env, account);
    return async (signal) => ({ token: await runExecutable(executable, signal), fetch: undefined });
  }
  if (values["environment_id"] !== undefined) {
    for (const name of ["url", "region_url", "imdsv2_session_token_url"]) {
      urlField(source, name, "identityProvider");
    }
    const provider = "AWS: set AWS_REGION and credentials, or check the role of the EC2 instance";
    return byLibrary(fields, provider, (options) => new AwsClient(options));
  }
  const provider = providerOf(fields, source);
  return byLibrary(fields, provider, (options) => new IdentityPoolClient(options));
}

/** Where the subject token comes from, for messages. */
function providerOf(fields: Fields, source: Fields): string {
  if (source.values["certificate"] !== undefined) {
    requireTls(fields);
    const words = "certificate_config_location and the cert_path and key_path that it names";
    return `the client certificate: check ${words}`;
  }
  const url = urlField(source, "url", "identityProvider");
  if (url !== undefined) return `${url.origin}${url.pathname}`;
  return `the file ${textField(source, "file")}`;
}

/** A certificate is shown in a TLS handshake, or not at all. */
function requireTls(fields: Fields): void {
  for (const name of ["token_url", "service_account_impersonation_url"]) {
    if (urlField(fields, name, "googleApi")?.protocol !== "http:") continue;
    throw new UsageError([`${fields.path}: its ${name} must be https for a client certificate`]);
  }
}

type LibraryClient = AwsClient | IdentityPoolClient;
type SourceOptions = NonNullable<LibraryOptions["credential_source"]>;
type LibraryOptions = IdentityPoolClientOptions & AwsClientOptions;

/** Lets the library find the subject token; every request of it is sent and judged here. */
function byLibrary(
  fields: Fields,
  provider: string,
  create: (options: LibraryOptions) => LibraryClient,
): SubjectTokenSource {
  const prepare = (fetchImplementation: typeof fetch) =>
    create({
      audience: textField(fields, "audience"),
      subject_token_type: textField(fields, "subject_token_type"),
      credential_source: objectField(fields, "credential_source").values as SourceOptions,
      // Without this it logs answers, tokens included, when an environment variable asks it to.
      useAuthRequestParameters: false,
      transporterOptions: { retryConfig: { retry: 0 }, fetchImplementation },
    });
  try {
    prepare(fetch);
  } catch {
    throw fault(fields, "its credential_source is none of file, url, AWS, certificate, executable");
  }
  return async (signal) => {
    const met: { error?: unknown } = {};
    const client = prepare(async (input, init) => {
      try {
        return await ask(input, init ?? {}, signal);
      } catch (error) {
        met.error = error;
        throw error;
      }
    });
    try {
      const token = (await client.retrieveSubjectToken()).trim();
      if (token !== "") return { token, fetch: certificateOf(client) };
    } catch {
      // Its own errors would carry the request, or quote the token's file.
    }
    throw met.error ?? new MintError("mint_unavailable", `no subject token from ${provider}`);
  };
}

async function ask(
  input: Parameters<typeof fetch>[0],
  init: RequestInit,
  signal: AbortSignal,
): Promise<Response> {
  const url = parseUrl(new Request(input).url, "the identity provider's URL", "identityProvider");
  const peer: Peer = { name: `the identity provider at ${url.host}` };
  const { method = "GET", headers = {}, body = null } = init;
  const answer = requireOk(await send(url, { method, headers, body }, signal, peer), peer);
  return new Response(answer.body, { headers: answer.headers });
}

/** The library hides the certificate in an agent that its own requests would use. */
function certificateOf({ transporter }: LibraryClient): Fetch | undefined {
  const agent = transporter.defaults.agent as Agent | undefined;
  const { cert, key } = agent?.options ?? {};
  return cert === undefined || key === undefined ? undefined : fetchByCertificate({ cert, key });
}
