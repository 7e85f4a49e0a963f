import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, createHandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { Check, Decision } from "../../../src/check/decision.ts";
import { createAuthorization } from "../../../src/grpc/authorization.ts";
import { CLIENT } from "../../../src/grpc/call.ts";
import {
  Authorization,
  CheckRequestSchema,
} from "../../../src/grpc/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { checkRequest } from "../../support/authorization-client.ts";
import { AUDIENCE, TOKEN } from "../../support/http-app.ts";

const CLIENT_NAMES = ["authz-client"];

/** Runs one check that is decided as given. */
function run(
  decision: Decision | Promise<Decision>,
  {
    request = checkRequest(),
    secret = "",
    tokenHeader = "authorization",
    signal = new AbortController().signal,
  } = {},
) {
  const seen: Check[] = [];
  const decide = (check: Check) => {
    seen.push(check);
    return decision;
  };
  const context = createHandlerContext({
    service: Authorization,
    method: Authorization.method.check,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "http://authz/",
    requestSignal: signal,
    requestHeader: { "x-authz-secret": secret, "x-id-token-audience": "https://evil.example" },
    contextValues: createContextValues().set(CLIENT, CLIENT_NAMES),
  });
  const { check } = createAuthorization({ decide, tokenHeader });
  return { seen, answer: check(create(CheckRequestSchema, request), context) };
}

describe("A check", () => {
  it("is decided by the context extension, the host and the call's secret, and no header", () => {
    const { seen } = run(
      { token: TOKEN },
      { request: checkRequest(AUDIENCE, "h:80"), secret: "s" },
    );
    expect(seen).toEqual([{ secret: "s", named: AUDIENCE, host: "h:80", client: CLIENT_NAMES }]);
  });

  it("names the principal that Envoy attests", () => {
    const attributes = { source: { principal: "spiffe://cluster.local/ns/shop/sa/web" } };
    const { seen } = run({ token: TOKEN }, { request: { attributes } as never });
    expect(seen).toMatchObject([{ principal: "spiffe://cluster.local/ns/shop/sa/web" }]);
  });

  it("without an extension names no audience", () => {
    expect(run({ token: TOKEN }).seen).toMatchObject([{ named: undefined, host: "svc.run.app" }]);
    const empty = run({ token: TOKEN }, { request: {} as ReturnType<typeof checkRequest> });
    expect(empty.seen).toMatchObject([{ named: undefined, host: undefined }]);
  });

  it("that is allowed overwrites the token header and removes others", () => {
    const { answer } = run({ token: TOKEN }, { tokenHeader: "proxy-authorization" });
    expect(answer).toMatchObject({
      status: { code: 0 },
      httpResponse: {
        case: "okResponse",
        value: {
          headers: [
            { header: { key: "proxy-authorization", value: TOKEN.header }, appendAction: 2 },
          ],
          headersToRemove: ["x-serverless-authorization"],
        },
      },
    });
  });

  it("that had to wait is answered in the same way", async () => {
    const { answer } = run(Promise.resolve({ token: TOKEN }));
    expect(answer).toBeInstanceOf(Promise);
    expect(await answer).toMatchObject({ httpResponse: { case: "okResponse" } });
  });

  it("that is denied is 403 with the code as JSON, and no token", () => {
    const { answer } = run({ denied: "audience_missing" });
    expect(answer).toMatchObject({
      status: { code: Code.PermissionDenied, message: "audience_missing" },
      httpResponse: {
        case: "deniedResponse",
        value: {
          status: { code: 403 },
          headers: [{ header: { key: "content-type" } }],
          body: '{"error":"audience_missing"}',
        },
      },
    });
  });

  it("without a token is UNAVAILABLE, so that Envoy counts an error and no denial", async () => {
    const unavailable = new ConnectError("mint_timeout", Code.Unavailable);
    expect(() => run({ failed: "mint_timeout" })).toThrow(unavailable);
    const { answer } = run(Promise.resolve({ failed: "mint_timeout" }));
    await expect(answer).rejects.toThrow(unavailable);
  });

  it("ends with its call, however long the decision takes", async () => {
    const reason = new Error("over");
    const undecided = new Promise<Decision>(() => {});
    const { answer } = run(undecided, { signal: AbortSignal.abort(reason) });
    await expect(answer).rejects.toBe(reason);
  });
});
