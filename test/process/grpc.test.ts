import { once } from "node:events";
import { rename, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CheckRequestSchema } from "../../src/grpc/gen/envoy/service/auth/v3/external_auth_pb.ts";
import {
  checkRequest,
  createAuthorizationClient,
  headersOf,
  type AuthorizationClient,
} from "../support/authorization-client.ts";
import { CHECK_CALL, grpcFrame, openHttp2 } from "../support/http2-client.ts";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { fetchSeries } from "../support/series.ts";
import { createServiceAccount } from "../support/service-account.ts";
import type { TokenEndpoint } from "../support/token-endpoint.ts";

const A = "https://a.run.app";
const OTHER = "https://other.run.app";
const TOKEN = expect.stringMatching(/^Bearer eyJ/);
const parts = new AsyncDisposableStack();
let endpoint: TokenEndpoint;
let keyFile = "";
let folder = "";
let server: ServerProcess;
let client: AuthorizationClient;

const serve = (...flags: readonly string[]) =>
  startServer(["--credentials", keyFile, "--allow-audience", "https://*.run.app", ...flags]);

beforeAll(async () => {
  ({ endpoint, keyFile, folder } = parts.use(await startKeyedEndpoint()));
  server = parts.use(await serve("--audience", A));
  client = parts.use(createAuthorizationClient(server.address));
  await server.event("minted");
});
afterAll(() => parts.disposeAsync());
afterEach(() => endpoint.setFault(undefined));

const metric = (series: string) => fetchSeries(server.url, series);

const messageOf = (audience?: string) =>
  toBinary(CheckRequestSchema, create(CheckRequestSchema, checkRequest(audience)));

describe("Authorization/Check", () => {
  it("overwrites the token header and removes other token headers", async () => {
    const before = await metric('checks_total{protocol="grpc",outcome="ok"}');
    const outcome = await client.check(checkRequest());
    expect(outcome).toMatchObject({
      response: {
        status: { code: status.OK },
        httpResponse: {
          case: "okResponse",
          value: {
            headers: [{ header: { key: "authorization", value: TOKEN }, appendAction: 2 }],
            headersToRemove: ["x-serverless-authorization", "proxy-authorization"],
          },
        },
      },
    });
    expect(await metric('checks_total{protocol="grpc",outcome="ok"}')).toBe(before + 1);
  });

  it("answers with the token of the audience that the context extension names", async () => {
    const [own, other] = [
      await client.check(checkRequest()),
      await client.check(checkRequest(OTHER)),
    ];
    expect(headersOf(other)).toEqual({ authorization: TOKEN });
    expect(headersOf(other)).not.toEqual(headersOf(own));
  });

  it("denies with 403 and a code for an audience that is not allowed", async () => {
    expect(await client.check(checkRequest("https://evil.example"))).toMatchObject({
      response: {
        status: { code: status.PERMISSION_DENIED },
        httpResponse: {
          case: "deniedResponse",
          value: { status: { code: 403 }, body: '{"error":"audience_not_allowed"}' },
        },
      },
    });
  });

  it("is UNAVAILABLE, with the code, when no token can be minted", async () => {
    endpoint.setFault({ kind: "status", status: 503 });
    expect(await client.check(checkRequest("https://down.run.app"))).toEqual({
      code: status.UNAVAILABLE,
      details: "mint_unavailable",
    });
  });

  it("takes the audience from the host where that is switched on", async () => {
    await using fromHost = await serve(
      "--audience-from-host",
      "--token-header",
      "proxy-authorization",
    );
    using hosts = createAuthorizationClient(fromHost.address);
    const outcome = await hosts.check(checkRequest(undefined, "b.run.app:443"));
    expect(headersOf(outcome)).toEqual({ "proxy-authorization": TOKEN });
    expect(await fromHost.event("minted")).toMatchObject({ audience: "https://b.run.app" });
    const denied = await hosts.check(checkRequest(undefined, "b.example.com"));
    expect(denied).toMatchObject({ response: { httpResponse: { case: "deniedResponse" } } });
  });

  it("requires the check secret in the call's metadata", async () => {
    const file = join(folder, "secret");
    await writeFile(file, "open sesame");
    await using guarded = await serve("--audience", A, `--check-secret-file=${file}`);
    using caller = createAuthorizationClient(guarded.address);
    const denied = {
      response: { httpResponse: { value: { body: '{"error":"check_secret_wrong"}' } } },
    };
    expect(await caller.check(checkRequest())).toMatchObject(denied);
    const wrong = { metadata: { "x-authz-secret": "open" } };
    expect(await caller.check(checkRequest(), wrong)).toMatchObject(denied);
    const right = { metadata: { "x-authz-secret": "open sesame" } };
    expect(headersOf(await caller.check(checkRequest(), right))).toBeDefined();
  });

  it("waits no longer than the call's deadline", async () => {
    endpoint.setFault({ kind: "hang" });
    const outcome = await client.check(checkRequest("https://slow.run.app"), { timeoutMs: 200 });
    expect(outcome).toMatchObject({ code: status.DEADLINE_EXCEEDED });
  });

  it("goes on after a call that its client cancelled", async () => {
    endpoint.pause();
    const exchange = endpoint.nextExchange();
    const cancelled = client.check(checkRequest("https://cancelled.run.app"), {
      onCall: (call) => void exchange.then(() => call.cancel()),
    });
    expect(await cancelled).toMatchObject({ code: status.CANCELLED });
    endpoint.resume();
    expect(headersOf(await client.check(checkRequest("https://cancelled.run.app")))).toBeDefined();
    expect(server.lines().filter(({ event }) => event === "internal_error")).toEqual([]);
  });

  it("uses a rotated key", async () => {
    const account = createServiceAccount({ tokenUri: endpoint.url, clientEmail: "new@x.test" });
    endpoint.register(account);
    const before = headersOf(await client.check(checkRequest()));
    await account.writeTo(`${keyFile}.new`);
    await rename(`${keyFile}.new`, keyFile);
    await server.event("credential_rotated");
    expect(headersOf(await client.check(checkRequest()))).not.toEqual(before);
  });
});

// The statuses are those of gRPC's own table for what a library finds wrong (statuscodes.md), and of
// compression.md.
describe("A call that is not valid", () => {
  it.each([
    [
      "a method that does not exist",
      { ":path": "/a.B/C" },
      grpcFrame(messageOf()),
      status.UNIMPLEMENTED,
    ],
    ["bytes that are not a CheckRequest", {}, grpcFrame(Buffer.from("\xff\xff")), status.INTERNAL],
    ["half a message", {}, grpcFrame(messageOf()).subarray(0, 9), status.INVALID_ARGUMENT],
    ["no message", {}, Buffer.alloc(0), status.UNIMPLEMENTED],
    [
      "two messages",
      {},
      Buffer.concat([grpcFrame(messageOf()), grpcFrame(messageOf())]),
      status.UNIMPLEMENTED,
    ],
    [
      "a compressed message",
      { "grpc-encoding": "gzip" },
      grpcFrame(messageOf(), 1),
      status.UNIMPLEMENTED,
    ],
    ["a message compressed in no named way", {}, grpcFrame(messageOf(), 1), status.INTERNAL],
    ["a message of over 4 MiB", {}, grpcFrame(Buffer.alloc(4_194_305)), status.RESOURCE_EXHAUSTED],
    [
      "a malformed timeout",
      { "grpc-timeout": "soon" },
      grpcFrame(messageOf()),
      status.INVALID_ARGUMENT,
    ],
  ])("with %s ends with a status and hurts no other", async (_what, headers, body, code) => {
    using raw = openHttp2(server.address);
    const answer = await raw.request({ ...CHECK_CALL, ...headers }, body);
    expect(answer.status).toBe(200);
    expect(answer.trailers["grpc-status"]).toBe(String(code));
    expect(answer.body).toHaveLength(0);
    const next = await raw.request(CHECK_CALL, grpcFrame(messageOf()));
    expect(next.trailers["grpc-status"]).toBe("0");
  });

  it("with 1 MiB of unknown fields is answered", async () => {
    // Field 15 of the outermost message, with 1 MiB of bytes.
    const unknown = Buffer.concat([Buffer.from([0x7a, 0x80, 0x80, 0x40]), Buffer.alloc(1_048_576)]);
    using raw = openHttp2(server.address);
    const answer = await raw.request(CHECK_CALL, grpcFrame(Buffer.concat([messageOf(), unknown])));
    expect(answer.trailers["grpc-status"]).toBe("0");
  });

  it("is ended with its status and its stream closed, though its request goes on", async () => {
    using raw = openHttp2(server.address);
    const stream = raw.session.request(CHECK_CALL);
    stream.resume().write(grpcFrame(Buffer.alloc(4_194_305)));
    const [trailers] = await once(stream, "trailers");
    expect(trailers["grpc-status"]).toBe(String(status.RESOURCE_EXHAUSTED));
    await once(stream, "close");
    expect(stream.rstCode).toBe(0);
  });

  it.each(["[bad", "a:b:c"])("but for its authority %j is answered", async (authority) => {
    using raw = openHttp2(server.address);
    const call = { ...CHECK_CALL, ":authority": authority };
    const answer = await raw.request(call, grpcFrame(messageOf()));
    expect(answer.trailers["grpc-status"]).toBe(String(status.OK));
  });

  it("is no reason to end the process, even if it is not HTTP/2 after the preface", async () => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.write(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"x".repeat(100)}`);
    await once(socket.resume(), "close");
    expect(headersOf(await client.check(checkRequest()))).toBeDefined();
  });
});

it("10,000 concurrent calls on one connection are all answered, and HTTP/1.1 meanwhile", async () => {
  await using patient = await serve("--audience", A, "--mint-timeout", "60s");
  await patient.event("minted");
  using raw = openHttp2(patient.address);
  endpoint.pause();
  const exchange = endpoint.nextExchange();
  const frame = grpcFrame(messageOf("https://many.run.app"));
  const calls = Array.from({ length: 10_000 }, () => raw.request(CHECK_CALL, frame));
  await exchange;
  expect((await fetch(`${patient.url}/check`)).status).toBe(200);
  using other = createAuthorizationClient(patient.address);
  expect(headersOf(await other.check(checkRequest()))).toBeDefined();
  endpoint.resume();
  const statuses = (await Promise.all(calls)).map(({ trailers }) => trailers["grpc-status"]);
  expect(new Set(statuses)).toEqual(new Set(["0"]));
}, 60_000);

it("calls that would fill the heap are refused, and hurt no other", async () => {
  const flags = ["--credentials", keyFile, "--audience", A, "--mint-timeout", "60s"];
  const image = { NODE_OPTIONS: "--max-old-space-size=128" };
  await using tight = await startServer([...flags, "--allow-audience=https://*.run.app"], image);
  await tight.event("minted");
  endpoint.pause();
  const exchange = endpoint.nextExchange();
  const frame = grpcFrame(messageOf("https://waiting.run.app"));
  using connections = new DisposableStack();
  const calls = Array.from({ length: 4 }, () => connections.use(openHttp2(tight.address))).flatMap(
    (raw) => Array.from({ length: 1000 }, () => raw.request(CHECK_CALL, frame)),
  );
  const ends = Promise.allSettled(calls);
  await exchange;
  expect((await fetch(`${tight.url}/check`)).status).toBe(200);
  endpoint.resume();
  const outcomes = (await ends).map((end) =>
    end.status === "fulfilled" ? end.value.trailers["grpc-status"] : String(end.reason.message),
  );
  expect(new Set(outcomes)).toEqual(new Set(["0", expect.stringContaining("REFUSED_STREAM")]));
}, 60_000);

describe("grpc.health.v1.Health", () => {
  const SERVING = 1;
  const NOT_SERVING = 2;

  it("Check says whether every configured audience has its token", async () => {
    expect(await client.health("")).toMatchObject({ response: { status: SERVING } });
    expect(await client.health("envoy.service.auth.v3.Authorization")).toMatchObject({
      response: { status: SERVING },
    });
    expect(await client.health("a.B")).toMatchObject({ code: status.NOT_FOUND });
  });

  it("Watch reports readiness, and the start of a drain, and then ends", async () => {
    endpoint.pause();
    await using starting = await serve("--audience", A);
    using watcher = createAuthorizationClient(starting.address);
    const stream = watcher.watch("");
    const ended = once(stream, "error");
    const next = async () => (await once(stream, "data"))[0].status;
    expect(await next()).toBe(NOT_SERVING);
    endpoint.resume();
    expect(await next()).toBe(SERVING);
    starting.signal("SIGTERM");
    expect(await next()).toBe(NOT_SERVING);
    expect((await ended)[0]).toMatchObject({ code: status.UNAVAILABLE });
    expect(await starting.ended).toBe(0);
  });

  it("is served on the second address, where there are no tokens", async () => {
    await using twofold = await serve("--audience", A, "--admin-listen", "127.0.0.1:0");
    await twofold.event("minted");
    const { adminListen } = await twofold.event("listening");
    using admin = createAuthorizationClient(String(adminListen));
    expect(await admin.health("")).toMatchObject({ response: { status: SERVING } });
    expect(await admin.check(checkRequest())).toMatchObject({ code: status.UNIMPLEMENTED });
    using raw = openHttp2(String(adminListen));
    expect((await raw.request({ ":path": "/check" })).status).toBe(404);
    expect((await raw.request({ ":path": "/readyz" })).status).toBe(200);
  });
});
