import { X509Certificate } from "node:crypto";
import { createCertificateAuthority } from "../../src/envoy/certificates.ts";
import {
  impersonationUrl,
  TARGET,
  type Credentials,
  type FileContent,
} from "./credential-files.ts";
import { startGoogleApis, type GoogleApis } from "./google-apis.ts";
import { FEDERATED_PRINCIPAL, providerName } from "./identity-provider.ts";
import type { TokenEndpoint } from "./token-endpoint.ts";

/** Federation by a client certificate, with stand-ins that request it in the TLS handshake. */
export interface X509Federation extends AsyncDisposable {
  readonly apis: GoogleApis;
  readonly file: FileContent;
  /** The environment variable that makes Node.js trust the stand-ins. */
  readonly env: Readonly<Record<string, string>>;
}

const MTLS = "urn:ietf:params:oauth:token-type:mtls";

/** Starts the stand-ins and creates the certificate beside the other credentials. */
export async function startX509Federation(
  { issuer, accessTokens }: TokenEndpoint,
  { write }: Credentials,
): Promise<X509Federation> {
  const ca = await createCertificateAuthority("stand-in for Google's CA");
  const server = { commonName: "sts", dnsNames: [], ipAddresses: ["127.0.0.1"], days: 1 };
  const tls = await ca.issue({ ...server, usage: "server" });
  const apis = await startGoogleApis({ issuer, accessTokens, tls });
  const workload = { commonName: "workload", dnsNames: ["workload.example"], days: 1 };
  const { certificatePem, privateKeyPem } = await ca.issue({ ...workload, usage: "client" });
  const leaf = new X509Certificate(certificatePem).raw.toString("base64");
  apis.register({
    audience: providerName("x509"),
    subjectTokenType: MTLS,
    verify: async (token, { certificate }) =>
      certificate === leaf && token === JSON.stringify([leaf]) ? FEDERATED_PRINCIPAL : undefined,
  });
  apis.policy.grant(TARGET, FEDERATED_PRINCIPAL);
  const cert_path = await write(certificatePem, "client.crt");
  const key_path = await write(privateKeyPem, "client.key");
  const config = { cert_configs: { workload: { cert_path, key_path } } };
  const certificate_config_location = await write(config, "certificate_config.json");
  return {
    apis,
    file: {
      type: "external_account",
      audience: providerName("x509"),
      subject_token_type: MTLS,
      token_url: `${apis.url}/v1/token`,
      service_account_impersonation_url: impersonationUrl(apis, TARGET),
      credential_source: { certificate: { certificate_config_location } },
    },
    env: { NODE_EXTRA_CA_CERTS: await write(ca.certificatePem, "ca.crt") },
    [Symbol.asyncDispose]: () => apis[Symbol.asyncDispose](),
  };
}
