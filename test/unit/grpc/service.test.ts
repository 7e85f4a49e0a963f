import { createServer, type ServerHttp2Stream } from "node:http2";
import { afterAll, expect, it } from "vitest";
import { createGrpcService, type GrpcOptions } from "../../../src/grpc/service.ts";
import { Status } from "../../../src/grpc/status.ts";
import { systemClock } from "../../../src/system/clock.ts";
import {
  checkRequest,
  createAuthorizationClient,
  headersOf,
} from "../../support/authorization-client.ts";
import { TOKEN } from "../../support/http-app.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const parts = new AsyncDisposableStack();
afterAll(() => parts.disposeAsync());

/** A client of a server with this service. */
async function serve(check: GrpcOptions["check"]) {
  const server = createServer();
  const answer = createGrpcService({
    check,
    health: { isReady: () => true, draining: new AbortController().signal },
    clock: systemClock,
    onFault: () => {},
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => answer(stream, headers));
  const port = await listenOnLoopback(server);
  parts.defer(() => void server.close());
  return parts.use(createAuthorizationClient(`127.0.0.1:${port}`));
}

it("calls go to the method of their path", async () => {
  const client = await serve({ decide: () => ({ token: TOKEN }), tokenHeader: "authorization" });
  expect(headersOf(await client.check(checkRequest()))).toEqual({ authorization: TOKEN.header });
  expect(await client.health("envoy.service.auth.v3.Authorization")).toHaveProperty("response");
  expect(await client.missing()).toMatchObject({ code: Status.UNIMPLEMENTED });
});

it("without checks there is health and no Authorization", async () => {
  const client = await serve(undefined);
  expect(await client.check(checkRequest())).toMatchObject({ code: Status.UNIMPLEMENTED });
  expect(await client.health("")).toHaveProperty("response");
  expect(await client.health("envoy.service.auth.v3.Authorization")).toMatchObject({
    code: Status.NOT_FOUND,
  });
});
