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

/** The record of one request, without its assertion and token. */
export interface Exchange {
  /** Milliseconds since the epoch, by this machine's clock. */
  readonly at: number;
  /** The account and the audience that the assertion claims. */
  readonly account: string | undefined;
  readonly audience: string | undefined;
  /** The `kid` of the assertion's header; undefined where there is none. */
  readonly keyId?: string | undefined;
  /** `issued`, the OAuth error or the kind of the fault. */
  readonly outcome: string;
}

export interface TokenEndpoint extends AsyncDisposable {
  /** The `token_uri` for key files. */
  readonly url: string;
  /** Finds the key that verifies a token of this endpoint. */
  readonly keys: JWTVerifyGetKey;
  /** The same keys as plain JSON. */
  readonly jwks: JSONWebKeySet;
  /** The issuer of its ID tokens, for other stand-ins of Google. */
  readonly issuer: TokenIssuer;
  /** The access tokens that it issues, for stand-ins that accept them. */
  readonly accessTokens: AccessTokens;
  /** Registers a user, whose refresh token is then accepted. */
  readonly registerUser: (user: User) => void;
  /** Adds a key to an account, whose assertions are then accepted. */
  readonly register: Accounts["register"];
  /** Removes a key; an account without keys is unknown. */
  readonly revoke: Accounts["revoke"];
  /** Every exchange so far, recorded before it is answered. */
  readonly exchanges: readonly Exchange[];
  /** Resolves with the next exchange; rejects if the endpoint closes first. */
  readonly nextExchange: () => Promise<Exchange>;
  /** Makes the next `count` exchanges fail (all by default); undefined ends the fault. */
  readonly setFault: Faults["set"];
  /** Sets the lifetime of future tokens. */
  readonly setTokenLife: (seconds: number) => void;
  /** Sets its clock, used for assertions, tokens and Date headers, relative to this machine's. */
  readonly setClockOffset: (offsetMs: number) => void;
  /** Shifts its Date header alone, as an intermediary with a wrong clock does. */
  readonly setDateOffset: (offsetMs: number) => void;
  /** Delays the answers to exchanges until `resume` is called. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** Closes all connections and refuses new ones until `listenAgain`, which uses the same port. */
  readonly stopListening: () => Promise<void>;
  readonly listenAgain: () => Promise<void>;
  /** Closes all connections and stops. */
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
  let dateOffsetMs = 0;
  const dateMs = () => issuer.nowSeconds() * 1000 + dateOffsetMs;
  const parts = { issuer, accounts, accessTokens, users, journal, faults, gate, dateMs };
  const answer = createAnswerer(parts);
  const server = createServer((request, response) => {
    // Writing fails when the peer is gone.
    answer(request, response).catch(() => response.destroy());
  });
  // A busy machine may take longer than the default of 5 s to use a connection again.
  server.keepAliveTimeout = 60_000;
  server.on("connection", (socket) => {
    if (!faults.refuses()) return;
    journal.record({ at: Date.now(), account: undefined, audience: undefined, outcome: "refuse" });
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
    setDateOffset: (offsetMs) => {
      dateOffsetMs = offsetMs;
    },
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
  /** What its Date header says, in milliseconds since the epoch. */
  readonly dateMs: () => number;
}

/** Creates the request handler. It rejects when the peer disconnects. */
function createAnswerer(parts: Parts) {
  const { issuer, accounts, accessTokens, users, journal, faults, gate } = parts;
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request);
    const form = new URLSearchParams(body);
    const nowSeconds = issuer.nowSeconds();
    response.setHeader("date", new Date(parts.dateMs()).toUTCString());
    const refresh = form.get("grant_type") === "refresh_token" ? { form, users } : undefined;
    const { account, audience, keyId } = refresh ? readRefresh(refresh) : readAssertion(form);
    const record = (outcome: string) =>
      journal.record({ at: Date.now(), account, audience, keyId, outcome });
    const sign = (changes = {}) => issuer.sign({ account, audience }, changes);
    const fault = faults.next({ account, audience });
    if (fault !== undefined) {
      record(fault.kind);
      await gate.waitUntilOpen();
      return answerWithFault(fault, response, { body, sign, nowSeconds });
    }
    const refusal =
      findFormFault(request) ??
      (refresh ? judgeRefresh(refresh) : await judgeRequest(form, accounts, nowSeconds));
    record(refusal?.error ?? "issued");
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
