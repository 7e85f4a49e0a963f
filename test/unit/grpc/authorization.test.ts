import { describe, expect, it } from "vitest";
import type { Check, Decision } from "../../../src/check/decision.ts";
import { checkMethod } from "../../../src/grpc/authorization.ts";
import {
  CheckRequestSchema,
  CheckResponseSchema,
} from "../../../src/grpc/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { decodeFrame, encodeFrame } from "../../../src/grpc/message-frame.ts";
import { Status, StatusError } from "../../../src/grpc/status.ts";
import { checkRequest } from "../../support/authorization-client.ts";
import { AUDIENCE, TOKEN } from "../../support/http-app.ts";

/** Runs one check that is decided as given. */
function run(
  decision: Decision | Promise<Decision>,
  { request = checkRequest(), secret = "", tokenHeader = "authorization" } = {},
) {
  const seen: Check[] = [];
  const decide = (check: Check) => {
    seen.push(check);
    return decision;
  };
  const method = checkMethod({ decide, tokenHeader });
  const metadata = { "x-authz-secret": secret, "x-id-token-audience": "https://evil.example" };
  const frame = encodeFrame(CheckRequestSchema, request);
  const answer = method.run(frame, metadata, new AbortController().signal);
  const decode = (bytes: Buffer) => decodeFrame(CheckResponseSchema, bytes);
  return { seen, answer, decode };
}

describe("A check", () => {
  it("is decided by the context extension, the host and the call's secret, and no header", () => {
    const { seen } = run(
      { token: TOKEN },
      { request: checkRequest(AUDIENCE, "h:80"), secret: "s" },
    );
    expect(seen).toEqual([{ secret: "s", named: AUDIENCE, host: "h:80", client: [] }]);
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
    const { answer, decode } = run({ token: TOKEN }, { tokenHeader: "proxy-authorization" });
    expect(decode(answer as Buffer)).toMatchObject({
      status: { code: Status.OK },
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
    const { answer, decode } = run(Promise.resolve({ token: TOKEN }));
    expect(decode(await (answer as Promise<Buffer>)).httpResponse.case).toBe("okResponse");
  });

  it("that is denied is 403 with the code as JSON, and no token", () => {
    const { answer, decode } = run({ denied: "audience_missing" });
    expect(decode(answer as Buffer)).toMatchObject({
      status: { code: Status.PERMISSION_DENIED, message: "audience_missing" },
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
    const unavailable = new StatusError(Status.UNAVAILABLE, "mint_timeout");
    expect(() => run({ failed: "mint_timeout" })).toThrow(unavailable);
    const { answer } = run(Promise.resolve({ failed: "mint_timeout" }));
    await expect(answer).rejects.toThrow(unavailable);
  });
});
