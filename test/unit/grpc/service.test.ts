import { createServer } from "node:http2";
import { status } from "@grpc/grpc-js";
import { afterAll, expect, it } from "vitest";
import { createGrpcService, type GrpcOptions } from "../../../src/grpc/service.ts";
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

/** A client of a server with this service, and what the service reported. */
async function serve(check: GrpcOptions["check"]) {
  const faults: unknown[] = [];
  const answer = createGrpcService({
    check,
    health: { isReady: () => true, draining: new AbortController().signal },
    clock: systemClock,
    onRefused: () => {},
    onFault: (fault) => faults.push(fault),
  });
  const server = createServer(answer);
  const port = await listenOnLoopback(server);
  parts.defer(() => void server.close());
  return { faults, client: parts.use(createAuthorizationClient(`127.0.0.1:${port}`)) };
}

it("calls go to the method of their path", async () => {
  const check = { decide: () => ({ token: TOKEN }), tokenHeader: "authorization" };
  const { client, faults } = await serve(check);
  expect(headersOf(await client.check(checkRequest()))).toEqual({ authorization: TOKEN.header });
  expect(await client.health("envoy.service.auth.v3.Authorization")).toHaveProperty("response");
  expect(await client.missing()).toMatchObject({ code: status.UNIMPLEMENTED });
  expect(faults).toEqual([]);
});

it("without checks there is health and no Authorization", async () => {
  const { client } = await serve(undefined);
  expect(await client.check(checkRequest())).toMatchObject({ code: status.UNIMPLEMENTED });
  expect(await client.health("")).toHaveProperty("response");
  expect(await client.health("envoy.service.auth.v3.Authorization")).toMatchObject({
    code: status.NOT_FOUND,
  });
});

it("an unexpected error is reported, and the client gets a bare INTERNAL", async () => {
  const bug = new TypeError("secret detail");
  const check = { decide: () => Promise.reject(bug), tokenHeader: "authorization" };
  const { client, faults } = await serve(check);
  const outcome = await client.check(checkRequest());
  expect(outcome).toMatchObject({ code: status.INTERNAL, details: "internal error" });
  expect(faults).toEqual([bug]);
});

it("a deadline ends a call whose decision takes longer", async () => {
  const check = { decide: () => new Promise<never>(() => {}), tokenHeader: "authorization" };
  const { client, faults } = await serve(check);
  const outcome = await client.check(checkRequest(), { timeoutMs: 20 });
  expect(outcome).toMatchObject({ code: status.DEADLINE_EXCEEDED });
  expect(faults).toEqual([]);
});
