import type { Clock } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import { postForm, type Answer, type Peer } from "../google/exchange.ts";
import { InvalidIdToken, parseIdToken } from "../tokens/id-token.ts";
import { accessTokenOf, createAccessTokenSource, quotaProject } from "../google/access-token.ts";
import { jsonOf } from "../google/answers.ts";
import { optionalText, textField, type Fields } from "./fields.ts";
import { TOKEN_CREATOR, type Identity } from "./identity.ts";
import { urlField } from "./urls.ts";

const GOOGLE_TOKEN_URI = new URL("https://oauth2.googleapis.com/token");
const PEER: Peer = {
  name: "the token endpoint",
  remedy: ({ code }) =>
    code === "invalid_grant" ? "log in again: gcloud auth application-default login" : "",
};
const INSTEAD =
  "Google gives a user's credentials no ID token for this audience: give --impersonate with a " +
  "service account that may call the service, or use a service account's credential";

/**
 * Parses an `authorized_user` file, which `gcloud auth application-default login` writes. Throws a
 * StartError.
 */
export function parseAuthorizedUser(fields: Fields, clock: Clock): Identity {
  const request = {
    grant_type: "refresh_token",
    client_id: textField(fields, "client_id"),
    client_secret: textField(fields, "client_secret"),
    refresh_token: textField(fields, "refresh_token"),
  };
  const tokenUri = urlField(fields, "token_uri", "googleApi") ?? GOOGLE_TOKEN_URI;
  const project = quotaProject(optionalText(fields, "quota_project_id"));
  const account = optionalText(fields, "account");
  const refresh = (signal: AbortSignal, more = {}): Promise<Answer> =>
    postForm(tokenUri, new URLSearchParams({ ...request, ...more }), signal, PEER);

  return {
    type: "authorized_user",
    principal: account ?? "",
    keyId: "",
    endpoint: tokenUri,
    mint: async (audience, signal) => {
      const obtainedAt = clock.now();
      const answer = await refresh(signal, { target_audience: audience });
      const { issuerNowMs = obtainedAt.wallMs } = answer;
      try {
        const idToken = jsonOf(answer, PEER)["id_token"];
        return parseIdToken(idToken, audience, obtainedAt, issuerNowMs);
      } catch (cause) {
        if (cause instanceof InvalidIdToken) {
          throw new MintError("mint_rejected", INSTEAD, { ofCredential: true });
        }
        throw cause;
      }
    },
    accessTokens: createAccessTokenSource(async (signal) => {
      const obtainedAt = clock.now();
      return accessTokenOf(await refresh(signal), obtainedAt, PEER, project);
    }, clock),
    grantee: () => ({ member: `user:${account ?? "YOUR_ACCOUNT"}`, role: TOKEN_CREATOR }),
  };
}
