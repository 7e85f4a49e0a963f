import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { errors, jwtVerify } from "jose";
import { verifyAwsToken, type AwsCredentials } from "./aws-signature.ts";
import { createJournal } from "./journal.ts";
import { listenOnLoopback } from "./loopback.ts";
import type { Provider } from "./sts.ts";
import { sendAny } from "./token-fault.ts";
import { createTokenIssuer } from "./token-issuer.ts";

export interface IdentityProvider extends AsyncDisposable {
  readonly url: string;
  /** The headers required of a request for a subject token. */
  readonly headers: Readonly<Record<string, string>>;
  /** The method and path of every request so far. */
  readonly requests: readonly string[];
  /** Issues a subject token for the workload. */
  readonly subjectToken: () => Promise<string>;
  /** Answers every request with this status; undefined restores normal answers. */
  readonly setStatus: (status: number | undefined) => void;
  readonly oidc: Provider;
  readonly aws: Provider;
}

const POOL = "projects/123456/locations/global/workloadIdentityPools/pool";
const ISSUER = "https://identity-provider.example";
const SUBJECT = "repo:team/app";
const AWS: AwsCredentials = {
  accessKeyId: "ASIATESTACCESSKEY",
  secretAccessKey: randomBytes(20).toString("hex"),
  sessionToken: randomBytes(20).toString("hex"),
};
/** The principal to which the pool maps the workload. */
export const FEDERATED_PRINCIPAL = `principal://iam.googleapis.com/${POOL}/subject/${SUBJECT}`;

/** Returns the resource name of one of the pool's providers. */
export function providerName(provider: string): string {
  return `//iam.googleapis.com/${POOL}/providers/${provider}`;
}

/**
 * Starts a stand-in for an identity provider, which issues OIDC tokens at `/token` (JSON) and
 * `/text` for requests with its headers, and for the AWS instance metadata service (version 2).
 */
export async function startIdentityProvider(): Promise<IdentityProvider> {
  const issuer = await createTokenIssuer(600);
  const journal = createJournal<string>();
  const requestToken = `Bearer ${randomBytes(20).toString("hex")}`;
  const instanceToken = randomBytes(20).toString("hex");
  let status: number | undefined;
  const subjectToken = () =>
    issuer.sign(
      { account: undefined, audience: providerName("oidc") },
      { iss: ISSUER, sub: SUBJECT },
    );

  async function answer({ method = "", url = "", headers }: IncomingMessage, to: ServerResponse) {
    journal.record(`${method} ${url}`);
    if (status !== undefined) return sendAny(to, status, "");
    if (url === "/token" || url === "/text") {
      if (headers.authorization !== requestToken) return sendAny(to, 401, "");
      const token = await subjectToken();
      return sendAny(to, 200, url === "/text" ? token : { value: token });
    }
    const answers = awsAnswers(instanceToken);
    if (method !== "PUT" && headers["x-aws-ec2-metadata-token"] !== instanceToken) {
      return sendAny(to, 401, "");
    }
    const found = answers[`${method} ${url}`];
    sendAny(to, found === undefined ? 404 : 200, found ?? "");
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  const port = await listenOnLoopback(server);
  return {
    url: `http://127.0.0.1:${port}`,
    headers: { Authorization: requestToken },
    requests: journal.entries,
    subjectToken,
    setStatus: (next) => {
      status = next;
    },
    oidc: {
      audience: providerName("oidc"),
      subjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
      verify: async (token) => {
        try {
          await jwtVerify(token, issuer.keys, { issuer: ISSUER, audience: providerName("oidc") });
          return FEDERATED_PRINCIPAL;
        } catch (error) {
          if (error instanceof errors.JOSEError) return undefined;
          throw error;
        }
      },
    },
    aws: {
      audience: providerName("aws"),
      subjectTokenType: "urn:ietf:params:aws:token-type:aws4_request",
      verify: async (token) =>
        verifyAwsToken(token, providerName("aws"), AWS) === "eu-west-1"
          ? FEDERATED_PRINCIPAL
          : undefined,
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function awsAnswers(instanceToken: string): Readonly<Record<string, unknown>> {
  const credentials = {
    AccessKeyId: AWS.accessKeyId,
    SecretAccessKey: AWS.secretAccessKey,
    Token: AWS.sessionToken,
  };
  return {
    "PUT /latest/api/token": instanceToken,
    "GET /latest/meta-data/placement/availability-zone": "eu-west-1b",
    "GET /latest/meta-data/iam/security-credentials": "role",
    "GET /latest/meta-data/iam/security-credentials/role": credentials,
  };
}
