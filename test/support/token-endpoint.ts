import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { JSONWebKeySet, JWTVerifyGetKey } from "jose";
import { createAccounts, judgeRequest, readAssertion, type Accounts } from "./assertion.ts";
import { createAccessTokens, type AccessTokens } from "./access-tokens.ts";
import { createGate, type Gate } from "./gate.ts";
import { createJournal, type Journal } from "./journal.ts";
import { listenOnLoopback } from "./loopback.ts";
import { answerWithFault, createFaults, sendAny, type Faults } from "./token-fault.ts";
import { judgeRefresh, readRefresh, type User } from "./refresh-grant.ts";
import { createTokenIssuer, type TokenIssuer } from "./token-issuer.ts";

/** One request, as far as it may be written down: never an assertion or a token. */
export interface Exchange {
  /** Milliseconds since the epoch, by this machine's clock. */
  readonly at: number;
  /** Whom the assertion claims to be from, and for which audience. */
  readonly account: string | undefined;
  readonly audience: string | undefined;
  /** `issued`, the OAuth error, or the kind of the fault. */
  readonly outcome: string;
}

export interface TokenEndpoint extends AsyncDisposable {
  /** The `token_uri` of key files that are to come here. */
  readonly url: string;
  /** Verifies the tokens that it signs; `jwks` is the same as plain JSON. */
  readonly keys: JWTVerifyGetKey;
  readonly jwks: JSONWebKeySet;
  /** What signs its ID tokens, for other stand-ins of Google. */
  readonly issuer: TokenIssuer;
  /** Those that it hands out, for stand-ins that are called with them. */
  readonly accessTokens: AccessTokens;
  /** Accepts this user's refresh token. */
  readonly registerUser: (user: User) => void;
  /** Accepts assertions signed by this key of the account, beside its other keys. */
  readonly register: Accounts["register"];
  /** Forgets this key; an account without any key is not found. */
  readonly revoke: Accounts["revoke"];
  /** Every exchange so far, noted when it is judged, before it is answered. */
  readonly exchanges: readonly Exchange[];
  /** The next exchange to be judged. Rejects when the endpoint closes first. */
  readonly nextExchange: () => Promise<Exchange>;
  /** Fails the next `count` exchanges this way, all when it is left out; undefined ends it. */
  readonly setFault: Faults["set"];
  /** How long the tokens it signs from now on live. */
  readonly setTokenLife: (seconds: number) => void;
  /** Moves its clock, which judges assertions, dates tokens and answers; 0 is this machine's. */
  readonly setClockOffset: (offsetMs: number) => void;
  /** Delays the answers to exchanges until `resume` is called. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** Cuts every connection and refuses new ones, until `listenAgain` on the same port. */
  readonly stopListening: () => Promise<void>;
  readonly listenAgain: () => Promise<void>;
  /** Cuts every connection and ends. */
  readonly close: () => Promise<void>;
}

/** Starts a stand-in for Google's OAuth token endpoint, with a signing key of its own. */
export async function startTokenEndpoint(
  options: { readonly tokenLifeSeconds?: number } = {},
): Promise<TokenEndpoint> {
  const issuer = await createTokenIssuer(options.tokenLifeSeconds ?? 3600);
  const accounts = createAccounts();
  const accessTokens = createAccessTokens();
  const users = new Map<string, User>();
  const journal = createJournal<Exchange>();
  const faults = createFaults();
  const gate = createGate();
  const answer = createAnswerer({ issuer, accounts, accessTokens, users, journal, faults, gate });
  const server = createServer((request, response) => {
    // It fails where the peer has gone.
    answer(request, response).catch(() => response.destroy());
  });
  server.on("connection", (socket) => {
    if (!faults.refuses()) return;
    journal.note({ at: Date.now(), account: undefined, audience: undefined, outcome: "refuse" });
    socket.destroy();
  });
  const port = await listenOnLoopback(server);

  async function stopListening(): Promise<void> {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  }

  async function close(): Promise<void> {
    journal.close();
    await stopListening();
    gate.open();
  }

  return {
    url: `http://127.0.0.1:${port}/token`,
    keys: issuer.keys,
    jwks: issuer.jwks,
    issuer,
    accessTokens,
    registerUser: (user) => void users.set(user.refreshToken, user),
    register: accounts.register,
    revoke: accounts.revoke,
    exchanges: journal.entries,
    nextExchange: journal.next,
    setFault: faults.set,
    setTokenLife: issuer.setTokenLife,
    setClockOffset: issuer.setClockOffset,
    pause: gate.close,
    resume: gate.open,
    stopListening,
    listenAgain: async () => void (await listenOnLoopback(server, port)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Parts {
  readonly issuer: TokenIssuer;
  readonly accounts: Accounts;
  readonly accessTokens: AccessTokens;
  readonly users: ReadonlyMap<string, User>;
  readonly journal: Journal<Exchange>;
  readonly faults: Faults;
  readonly gate: Gate;
}

/** Returns what answers one request. It rejects when the peer goes away. */
function createAnswerer(parts: Parts) {
  const { issuer, accounts, accessTokens, users, journal, faults, gate } = parts;
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request);
    const form = new URLSearchParams(body);
    const nowSeconds = issuer.nowSeconds();
    response.setHeader("date", new Date(nowSeconds * 1000).toUTCString());
    const refresh = form.get("grant_type") === "refresh_token" ? { form, users } : undefined;
    const { account, audience } = refresh ? readRefresh(refresh) : readAssertion(form);
    const note = (outcome: string) => journal.note({ at: Date.now(), account, audience, outcome });
    const sign = (changes = {}) => issuer.sign({ account, audience }, changes);
    const fault = faults.next();
    if (fault !== undefined) {
      note(fault.kind);
      await gate.waitUntilOpen();
      return answerWithFault(fault, response, { body, sign, nowSeconds });
    }
    const refusal =
      findFormFault(request) ??
      (refresh ? judgeRefresh(refresh) : await judgeRequest(form, accounts, nowSeconds));
    note(refusal?.error ?? "issued");
    await gate.waitUntilOpen();
    if (refusal === undefined) {
      const access = { access_token: accessTokens.issue(account ?? ""), expires_in: 3599 };
      const idToken = audience === undefined ? {} : { id_token: await sign() };
      return sendAny(
        response,
        200,
        refresh || audience === undefined ? { ...access, ...idToken } : idToken,
      );
    }
    const { error, description } = refusal;
    sendAny(response, 400, { error, error_description: description });
  };
}

function findFormFault({ method, headers }: IncomingMessage) {
  const type = headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (method === "POST" && type === "application/x-www-form-urlencoded") return undefined;
  return { error: "invalid_request", description: "Send a POST with a form." };
}
