import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AccessTokens } from "./access-tokens.ts";
import { createJournal } from "./journal.ts";
import { listenOnLoopback } from "./loopback.ts";
import { sendAny } from "./token-fault.ts";
import type { TokenIssuer } from "./token-issuer.ts";

export interface MetadataServer extends AsyncDisposable {
  /** For `GCE_METADATA_HOST`. */
  readonly host: string;
  /** Changes the machine's account; undefined removes it. */
  readonly setAccount: (account: string | undefined) => void;
  /**
   * Changes the behaviour: `hang` never answers, `email_hangs` never answers requests for the
   * account's email, `captive_portal` answers with a web page and no `Metadata-Flavor`, a number is
   * the status of every answer; undefined restores normal answers.
   */
  readonly setFault: (
    fault: "hang" | "email_hangs" | "captive_portal" | number | undefined,
  ) => void;
  /** The path and audience of every request so far. */
  readonly requests: readonly { readonly path: string; readonly audience: string | null }[];
}

export interface MetadataServerOptions {
  readonly issuer: TokenIssuer;
  readonly accessTokens: AccessTokens;
  readonly account?: string | undefined;
}

const FLAVOR = "metadata-flavor";
const ROOT = "/computeMetadata/v1/instance/service-accounts/default/";

/** Starts a stand-in for Compute Engine's metadata server. */
export async function startMetadataServer(options: MetadataServerOptions): Promise<MetadataServer> {
  const { issuer, accessTokens } = options;
  const journal = createJournal<{ path: string; audience: string | null }>();
  let { account } = options;
  let fault: Parameters<MetadataServer["setFault"]>[0];

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://metadata");
    const audience = searchParams.get("audience");
    journal.record({ path: pathname.replace(ROOT, ""), audience });
    if (fault === "hang" || (fault === "email_hangs" && pathname === `${ROOT}email`)) return;
    if (fault === "captive_portal")
      return sendAny(response, 200, "<!doctype html><title>Log in</title>");
    if (request.method !== "GET" || request.headers[FLAVOR] !== "Google") {
      return sendAny(response, 403, "Missing required header: Metadata-Flavor");
    }
    response.setHeader(FLAVOR, "Google");
    response.setHeader("date", new Date(issuer.nowSeconds() * 1000).toUTCString());
    if (typeof fault === "number") return sendAny(response, fault, "not now");
    if (account === undefined) return sendAny(response, 404, "<title>404</title>Not Found");
    switch (pathname) {
      case `${ROOT}email`:
        return sendAny(response, 200, account);
      case `${ROOT}token`: {
        const access_token = accessTokens.issue(account);
        return sendAny(response, 200, { access_token, expires_in: 3599, token_type: "Bearer" });
      }
      case `${ROOT}identity`: {
        if (!audience) return sendAny(response, 400, "non-empty audience parameter required");
        const email = searchParams.get("format") === "full" ? {} : { email: undefined };
        return sendAny(response, 200, await issuer.sign({ account, audience }, email));
      }
      default:
        return sendAny(response, 404, "Not Found");
    }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  const port = await listenOnLoopback(server);
  return {
    host: `127.0.0.1:${port}`,
    setAccount: (next) => {
      account = next;
    },
    setFault: (next) => {
      fault = next;
    },
    requests: journal.entries,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
