import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { TLSSocket } from "node:tls";
import type { IssuedCertificate } from "../../src/envoy/certificates.ts";
import type { AccessTokens } from "./access-tokens.ts";
import { answerIam, createIamPolicy, type IamEntry, type IamPolicy } from "./iam-credentials.ts";
import { createJournal } from "./journal.ts";
import { listenOnLoopback } from "./loopback.ts";
import { judgeExchange, type Provider } from "./sts.ts";
import { answerWithFault, createFaults, sendAny, type Faults } from "./token-fault.ts";
import type { TokenIssuer } from "./token-issuer.ts";
import { judgeWorkforceRefresh, type WorkforceUser } from "./workforce-user.ts";

export interface GoogleApis extends AsyncDisposable {
  /** Replaces `https://….googleapis.com` in credential files. */
  readonly url: string;
  readonly policy: IamPolicy;
  /** Every call of IAM Credentials so far. */
  readonly calls: readonly IamEntry[];
  /** The outcome of every token exchange so far: `issued` or the OAuth error. */
  readonly exchanges: readonly string[];
  readonly nextExchange: () => Promise<string>;
  readonly register: (provider: Provider) => void;
  /** Registers a user of a workforce pool, whose refresh tokens the STS accepts. */
  readonly registerWorkforceUser: (user: WorkforceUser) => void;
  /** Makes the next calls of one API fail. */
  readonly setFault: (api: "sts" | "iam", ...fault: Parameters<Faults["set"]>) => void;
}

export interface GoogleApisOptions {
  readonly issuer: TokenIssuer;
  readonly accessTokens: AccessTokens;
  /** Serves TLS and asks for client certificates. */
  readonly tls?: IssuedCertificate;
}

/** Starts a stand-in for Google's Security Token Service and its IAM Credentials API. */
export async function startGoogleApis(options: GoogleApisOptions): Promise<GoogleApis> {
  const { issuer, accessTokens, tls } = options;
  const policy = createIamPolicy();
  const providers: Provider[] = [];
  const workforceUsers: WorkforceUser[] = [];
  const calls = createJournal<IamEntry>();
  const exchanges = createJournal<string>();
  const faults = { sts: createFaults(), iam: createFaults() };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const isRefresh = request.url === "/v1/oauthtoken";
    const api = isRefresh || request.url === "/v1/token" ? "sts" : "iam";
    response.setHeader("date", new Date(issuer.nowSeconds() * 1000).toUTCString());
    const fault = faults[api].next();
    if (fault !== undefined) {
      if (api === "sts") exchanges.record(fault.kind);
      const sign = () => issuer.sign({ account: undefined, audience: undefined });
      return answerWithFault(fault, response, { body, sign, nowSeconds: issuer.nowSeconds() });
    }
    if (isRefresh) return refresh(new URLSearchParams(body), request, response);
    return api === "sts"
      ? exchange(new URLSearchParams(body), request, response)
      : call(body, request, response);
  }

  async function call(body: string, { url, headers }: IncomingMessage, response: ServerResponse) {
    const { authorization } = headers;
    const parts = { issuer, accessTokens, policy };
    const judged = await answerIam({ path: url ?? "", authorization, body }, parts);
    calls.record(judged.entry);
    sendAny(response, judged.status, judged.answer);
  }

  async function exchange(
    form: URLSearchParams,
    { socket }: IncomingMessage,
    response: ServerResponse,
  ) {
    const certificate =
      socket instanceof TLSSocket
        ? socket.getPeerX509Certificate()?.raw.toString("base64")
        : undefined;
    const verdict = await judgeExchange({ form, certificate }, providers);
    exchanges.record("refusal" in verdict ? verdict.refusal.error : "issued");
    if ("refusal" in verdict) {
      const { error, description } = verdict.refusal;
      return sendAny(response, 400, { error, error_description: description });
    }
    const access_token = accessTokens.issue(verdict.principal);
    sendAny(response, 200, { access_token, token_type: "Bearer", expires_in: 3599 });
  }

  function refresh(
    form: URLSearchParams,
    { headers }: IncomingMessage,
    response: ServerResponse,
  ): void {
    const verdict = judgeWorkforceRefresh(form, headers.authorization, workforceUsers);
    exchanges.record("refusal" in verdict ? verdict.refusal.error : "issued");
    if ("refusal" in verdict) {
      const { error, description } = verdict.refusal;
      return sendAny(response, 400, { error, error_description: description });
    }
    const access_token = accessTokens.issue(verdict.principal);
    const { refresh_token } = verdict;
    sendAny(response, 200, { access_token, expires_in: 3599, refresh_token });
  }

  const server = createFor(tls, (request, response) => {
    // Writing fails when the peer is gone.
    answer(request, response).catch(() => response.destroy());
  });
  const port = await listenOnLoopback(server);
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    policy,
    calls: calls.entries,
    exchanges: exchanges.entries,
    nextExchange: exchanges.next,
    register: (provider) => void providers.push(provider),
    registerWorkforceUser: (user) => void workforceUsers.push(user),
    setFault: (api, ...fault) => faults[api].set(...fault),
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function createFor(
  tls: IssuedCertificate | undefined,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  if (tls === undefined) return createServer(listener);
  const { certificatePem: cert, privateKeyPem: key } = tls;
  // The provider, not TLS, decides whether the certificate is acceptable.
  const options = { cert, key, requestCert: true, rejectUnauthorized: false };
  return createTlsServer(options, listener);
}
