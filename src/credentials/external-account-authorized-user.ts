import type { Clock } from "../system/clock.ts";
import { accessTokenOf, createAccessTokenSource, quotaProject } from "../google/access-token.ts";
import { jsonOf } from "../google/answers.ts";
import { postForm, type Peer } from "../google/exchange.ts";
import { basicAuthorization } from "./client-authentication.ts";
import { optionalText, textField, type Fields } from "./fields.ts";
import { granteeOf } from "./identity-pool.ts";
import type { Identity } from "./identity.ts";
import { urlField } from "./urls.ts";

const GOOGLE_TOKEN_URL = new URL("https://sts.googleapis.com/v1/oauthtoken");
const PEER: Peer = {
  name: "Google's STS",
  remedy: ({ code }) =>
    code === "invalid_grant" ? "log in again: gcloud auth application-default login" : "",
};

/**
 * Parses an `external_account_authorized_user` file, which `gcloud auth application-default login`
 * writes for a user of a workforce identity pool. Google gives such a user no ID tokens, so the
 * identity can only impersonate. Throws a StartError.
 */
export function parseWorkforceUser(fields: Fields, clock: Clock): Identity {
  const audience = textField(fields, "audience");
  const headers = basicAuthorization(
    textField(fields, "client_id"),
    textField(fields, "client_secret"),
  );
  const tokenUrl = urlField(fields, "token_url", "googleApi") ?? GOOGLE_TOKEN_URL;
  urlField(fields, "token_info_url", "googleApi");
  const project = quotaProject(optionalText(fields, "quota_project_id"));
  let refreshToken = textField(fields, "refresh_token");
  return {
    type: "external_account_authorized_user",
    principal: "",
    keyId: "",
    endpoint: tokenUrl,
    mint: undefined,
    accessTokens: createAccessTokenSource(async (signal) => {
      const obtainedAt = clock.now();
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: refreshToken,
      });
      const answer = await postForm(tokenUrl, form, signal, PEER, headers);
      const next = jsonOf(answer, PEER)["refresh_token"];
      // A server may replace it with each answer (RFC 6749, section 6).
      if (typeof next === "string" && next !== "") refreshToken = next;
      return accessTokenOf(answer, obtainedAt, PEER, project);
    }, clock),
    grantee: () => granteeOf(audience),
  };
}
