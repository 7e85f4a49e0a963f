import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { CHECK_SECRET_HEADER } from "../access/check-secret.ts";
import { headersToRemove } from "../access/token-header.ts";
import type { DecideCheck, Decision } from "../check/decision.ts";
import type { RefusalCode } from "../system/errors.ts";
import { unlessAborted } from "../system/unless-aborted.ts";
import type { IdToken } from "../tokens/id-token.ts";
import { CLIENT } from "./call.ts";
import { HeaderValueOption_HeaderAppendAction as AppendAction } from "./gen/envoy/config/core/v3/base_pb.ts";
import {
  Authorization,
  type CheckRequest,
  type CheckResponseSchema,
} from "./gen/envoy/service/auth/v3/external_auth_pb.ts";
import { StatusCode } from "./gen/envoy/type/v3/http_status_pb.ts";

export interface AuthorizationOptions {
  readonly decide: DecideCheck;
  /** The request header that carries the token. */
  readonly tokenHeader: string;
}

type CheckResponse = MessageInitShape<typeof CheckResponseSchema>;

/** The context extension in which Envoy's configuration names the audience. */
const AUDIENCE_EXTENSION = "audience";

/**
 * Implements `envoy.service.auth.v3.Authorization/Check`: a token for an allowed request, a 403
 * for a denied one, UNAVAILABLE if there is no token, which Envoy counts as an error. Nothing of
 * the checked request names the audience but its host: its headers are the client's.
 */
export function createAuthorization({
  decide,
  tokenHeader,
}: AuthorizationOptions): ServiceImpl<typeof Authorization> {
  const removed = headersToRemove(tokenHeader);

  function answer(decision: Decision): CheckResponse {
    if ("token" in decision) return allow(decision.token, tokenHeader, removed);
    if ("denied" in decision) return deny(decision.denied);
    throw new ConnectError(decision.failed, Code.Unavailable);
  }

  return {
    check: ({ attributes }: CheckRequest, { requestHeader, signal, values }) => {
      const decision = decide({
        secret: requestHeader.get(CHECK_SECRET_HEADER) ?? undefined,
        named: attributes?.contextExtensions[AUDIENCE_EXTENSION],
        host: attributes?.request?.http?.host,
        client: values.get(CLIENT),
        principal: attributes?.source?.principal || undefined,
      });
      if (!(decision instanceof Promise)) return answer(decision);
      return unlessAborted(decision, signal).then(answer);
    },
  };
}

function allow({ header }: IdToken, key: string, removed: readonly string[]): CheckResponse {
  const overwrite = AppendAction.OVERWRITE_IF_EXISTS_OR_ADD;
  return {
    status: { code: 0 },
    httpResponse: {
      case: "okResponse",
      value: {
        headers: [{ header: { key, value: header }, appendAction: overwrite }],
        headersToRemove: [...removed],
      },
    },
  };
}

function deny(code: RefusalCode): CheckResponse {
  const contentType = { key: "content-type", value: "application/json; charset=utf-8" };
  return {
    status: { code: Code.PermissionDenied, message: code },
    httpResponse: {
      case: "deniedResponse",
      value: {
        status: { code: StatusCode.Forbidden },
        headers: [{ header: contentType, appendAction: AppendAction.OVERWRITE_IF_EXISTS_OR_ADD }],
        body: JSON.stringify({ error: code }),
      },
    },
  };
}
