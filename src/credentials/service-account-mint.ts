import { JWT } from "google-auth-library";
import type { Clock } from "../system/clock.ts";
import { accessTokenOf, CLOUD_PLATFORM, type ObtainAccessToken } from "../google/access-token.ts";
import { idTokenOf, jsonOf } from "../google/answers.ts";
import { MintError } from "../system/errors.ts";
import { postForm, type Answer, type Peer } from "../google/exchange.ts";
import type { Mint } from "../tokens/mint-queue.ts";
import type { ServiceAccountKey } from "./service-account-key.ts";

const PEER: Peer = { name: "the token endpoint" };

/**
 * Mints ID tokens from a service-account key: a signed assertion with a `target_audience`,
 * exchanged for a Google-signed token (RFC 7523). Every answer is verified before it is
 * returned. One call is at most one exchange; its bound in time is the caller's signal.
 */
export function createMinter(key: ServiceAccountKey, clock: Clock): Mint {
  return async (audience, signal) => {
    const obtainedAt = clock.now();
    const answer = await exchange(key, signal, [], (client) => client.fetchIdToken(audience));
    return idTokenOf(jsonOf(answer, PEER)["id_token"], audience, obtainedAt, answer, PEER);
  };
}

/** Obtains access tokens for Google's APIs from a service-account key, in the same way. */
export function createKeyAccess(key: ServiceAccountKey, clock: Clock): ObtainAccessToken {
  return async (signal) => {
    const obtainedAt = clock.now();
    const answer = await exchange(key, signal, [CLOUD_PLATFORM], (client) => client.authorize());
    return accessTokenOf(answer, obtainedAt, PEER);
  };
}

/** Lets the library sign an assertion and post it; what comes back is read and judged here. */
async function exchange(
  key: ServiceAccountKey,
  signal: AbortSignal,
  scopes: string[],
  post: (client: JWT) => Promise<unknown>,
): Promise<Answer> {
  const met: { answer?: Answer; error?: unknown } = {};
  const client = new JWT({
    email: key.clientEmail,
    // The library hands the key to node:crypto as it is; its type knows only PEM text.
    key: key.privateKey as unknown as string,
    ...(scopes.length > 0 && { scopes }),
    // Without this it logs answers, tokens included, when an environment variable asks it to.
    useAuthRequestParameters: false,
    transporterOptions: {
      retryConfig: { retry: 0 },
      fetchImplementation: async (_url, init) => {
        try {
          // The library always posts to Google's own address; the key file's word counts here.
          met.answer = await postForm(key.tokenUri, init?.body as URLSearchParams, signal, PEER);
          return new Response(met.answer.body);
        } catch (error) {
          met.error = error;
          throw error;
        }
      },
    },
  });
  // Its own errors would carry the request, and its view of the answer is not needed.
  await post(client).catch(() => {});
  if (met.error !== undefined) throw met.error;
  if (met.answer === undefined) {
    throw new MintError("mint_rejected", "the key could not sign an assertion");
  }
  return met.answer;
}
