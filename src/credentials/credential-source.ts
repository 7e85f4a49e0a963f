import { parseExecutable, runExecutable } from "./executable-source.ts";
import { fault, objectField, type Fields } from "./fields.ts";
import { createFileSource } from "./file-source.ts";
import { createAwsSource, createCertificateSource } from "./library-source.ts";
import type { SubjectTokenSource } from "./subject-token.ts";
import { createUrlSource } from "./url-source.ts";
import { urlField } from "./urls.ts";

/**
 * Parses the `credential_source` of an `external_account` file: a file, a URL, AWS, a client
 * certificate (X.509) or, if the environment allows it, an executable. `account` is the one to be
 * impersonated. Throws a StartError.
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
  if (values["environment_id"] !== undefined) return createAwsSource(fields, source, env);
  if (values["certificate"] !== undefined) return createCertificateSource(fields, env);
  const url = urlField(source, "url", "identityProvider");
  if (url !== undefined) return createUrlSource(source, url);
  if (values["file"] !== undefined) return createFileSource(source);
  throw fault(fields, "its credential_source is none of file, url, AWS, certificate, executable");
}
