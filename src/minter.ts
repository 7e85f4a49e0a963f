import { JWT } from "google-auth-library";
import type { Clock } from "./clock.ts";
import { MintError } from "./errors.ts";
import { postForm, type TokenAnswer } from "./exchange.ts";
import type { ServiceAccountKey } from "./service-account-key.ts";
import { InvalidIdToken, parseIdToken } from "./token.ts";
import type { Mint } from "./mint-queue.ts";

/**
 * Mints ID tokens from a service-account key: a signed assertion with a `target_audience`,
 * exchanged for a Google-signed token (RFC 7523). Every answer is verified before it is
 * returned. One call is at most one exchange; its bound in time is the caller's signal.
 */
export function createMinter(key: ServiceAccountKey, clock: Clock): Mint {
  return async (audience, signal) => {
    const obtainedAt = clock.now();
    const exchange: { answer?: TokenAnswer; error?: unknown } = {};
    const client = new JWT({
      email: key.clientEmail,
      // The library hands the key to node:crypto as it is; its type knows only PEM text.
      key: key.privateKey as unknown as string,
      // Without this it logs answers, tokens included, when an environment variable asks it to.
      useAuthRequestParameters: false,
      transporterOptions: {
        retryConfig: { retry: 0 },
        fetchImplementation: async (_url, init) => {
          try {
            // The library always posts to Google's own address; the key file's word counts here.
            exchange.answer = await postForm(key.tokenUri, init?.body as URLSearchParams, signal);
            return new Response(exchange.answer.body);
          } catch (error) {
            exchange.error = error;
            throw error;
          }
        },
      },
    });
    try {
      const idToken: unknown = await client.fetchIdToken(audience);
      const issuerNowMs = exchange.answer?.issuerNowMs ?? obtainedAt.wallMs;
      return parseIdToken(idToken, audience, obtainedAt, issuerNowMs);
    } catch (cause) {
      throw toMintError(cause, exchange);
    }
  };
}

/** The exchange's own error where it failed; the library's would carry the request. */
function toMintError(
  cause: unknown,
  exchange: { answer?: TokenAnswer; error?: unknown },
): MintError {
  if (exchange.error instanceof MintError) return exchange.error;
  const reason = cause instanceof InvalidIdToken ? cause.message : "it has no id_token text";
  return exchange.answer === undefined
    ? new MintError("mint_rejected", "the key could not sign an assertion")
    : new MintError("mint_invalid_answer", `the token endpoint's answer is refused: ${reason}`);
}
