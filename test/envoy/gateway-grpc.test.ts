import {
  type Client,
  credentials,
  Metadata,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  type ServiceError,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { API_AUDIENCE, startGateway, type Gateway } from "../support/gateway.ts";
import { GrpcClient, startGrpcService, type GrpcService } from "../support/grpc-service.ts";

interface Texts extends Client {
  readonly Echo: Unary;
  readonly Split: (text: string) => ClientReadableStream<string>;
  readonly Join: (answer: Answer) => ClientWritableStream<string>;
  readonly Talk: () => ClientDuplexStream<string, string>;
}
type Answer = (error: ServiceError | null, text?: string) => void;
type Unary = (
  text: string,
  metadata: Metadata,
  options: { readonly deadline?: number },
  answer: Answer,
) => NodeJS.EventEmitter;

const parts = new AsyncDisposableStack();
let container: GrpcService;

beforeAll(async () => {
  container = parts.use(await startGrpcService());
});
afterAll(() => parts.disposeAsync());

/** Creates a client without any Google credentials that speaks plaintext HTTP/2 to the gateway. */
function dial({ port }: Gateway): Texts & Disposable {
  const client = new GrpcClient(`127.0.0.1:${port}`, credentials.createInsecure());
  return Object.assign(client as unknown as Texts, { [Symbol.dispose]: () => client.close() });
}

/** Makes one unary call and returns its result, headers and trailers. */
async function echo(client: Texts, text: string, metadata = new Metadata(), deadlineMs = 20_000) {
  const { promise, resolve } = Promise.withResolvers<{ error?: ServiceError; text?: string }>();
  const options = { deadline: Date.now() + deadlineMs };
  const call = client.Echo(text, metadata, options, (error, received) =>
    resolve(error ? { error } : { text: received ?? "" }),
  );
  const [[headers], [end], result] = await Promise.all([
    Promise.race([once(call, "metadata"), once(call, "status").then(() => [undefined])]),
    once(call, "status"),
    promise,
  ]);
  return {
    ...result,
    headers: headers as Metadata | undefined,
    trailers: (end as StatusObject).metadata,
  };
}

describe("gRPC through the gateway", () => {
  let gateway: Gateway;
  let client: Texts & Disposable;
  beforeAll(async () => {
    gateway = await startGateway({ container });
    client = dial(gateway);
    parts.use(gateway);
    parts.use(client);
  });

  it("carries unary calls with their headers and trailers, and adds a token", async () => {
    const metadata = new Metadata();
    metadata.set("x-tenant", "t1");
    metadata.set("x-trace-bin", Buffer.from([0, 255]));
    const { text, headers, trailers } = await echo(client, "hello", metadata);
    expect(text).toBe("hello");
    expect(headers?.get("x-header")).toEqual(["first"]);
    expect(trailers.get("x-checksum")).toEqual(["abc"]);
    expect(container.seen().get("x-tenant")).toEqual(["t1"]);
    expect(container.seen().get("x-trace-bin")).toEqual([Buffer.from([0, 255])]);
    expect(gateway.google.cloudRun.requests.at(-1)?.identity?.audience).toBe(API_AUDIENCE);
  });

  it("passes on the service's own errors", async () => {
    const { error, trailers } = await echo(client, "fail");
    expect(error).toMatchObject({ code: status.FAILED_PRECONDITION, details: "not yet: ä" });
    expect(trailers.get("x-checksum")).toEqual(["abc"]);
  });

  it("ends a call at the client's deadline", async () => {
    const { error } = await echo(client, "wait", new Metadata(), 200);
    expect(error?.code).toBe(status.DEADLINE_EXCEEDED);
  });

  it("carries server streaming", async () => {
    const call = client.Split("one two three");
    const received: string[] = [];
    call.on("data", (word: string) => received.push(word));
    const [end] = (await once(call, "status")) as [StatusObject];
    expect(received).toEqual(["one", "two", "three"]);
    expect(end.metadata.get("x-checksum")).toEqual(["abc"]);
  });

  it("carries client streaming", async () => {
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
    const call = client.Join((error, text) => (error ? reject(error) : resolve(text)));
    for (const word of ["one", "two", "three"]) call.write(word);
    call.end();
    expect(await promise).toBe("one two three");
  });

  it("carries bidirectional streaming and delivers each message without delay", async () => {
    const call = client.Talk();
    for (const word of ["one", "two", "three"]) {
      call.write(word);
      expect(await once(call, "data")).toEqual([`${word}!`]);
    }
    call.end();
    call.resume();
    const [end] = (await once(call, "status")) as [StatusObject];
    expect(end.code).toBe(status.OK);
    expect(end.metadata.get("x-checksum")).toEqual(["abc"]);
  });
});

describe("a denied check", () => {
  it("is PERMISSION_DENIED for a gRPC client and JSON for others", async () => {
    const envoyFlags = ["--audience=https://not-allowed.run.app"];
    await using gateway = await startGateway({ container, envoyFlags });
    using client = dial(gateway);
    const { error } = await echo(client, "hello");
    expect(error?.code).toBe(status.PERMISSION_DENIED);
    expect(JSON.parse(error?.details ?? "")).toEqual({ error: "audience_not_allowed" });

    const response = await fetch(gateway.url);
    expect(response.status).toBe(403);
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(await response.json()).toEqual({ error: "audience_not_allowed" });
    expect(gateway.google.cloudRun.requests).toEqual([]);
  });
});

describe("a check while the auth server is down", () => {
  it("is UNAVAILABLE for a gRPC client and JSON for others", async () => {
    await using gateway = await startGateway({ container });
    await gateway.authServer.stop("SIGKILL");
    using client = dial(gateway);
    const [{ error }, response] = await Promise.all([echo(client, "hello"), fetch(gateway.url)]);
    expect(error?.code).toBe(status.UNAVAILABLE);
    expect(JSON.parse(error?.details ?? "")).toEqual({ error: "token_unavailable" });

    expect(response.status).toBe(503);
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(await response.json()).toEqual({ error: "token_unavailable" });
    expect(gateway.google.cloudRun.requests).toEqual([]);
    expect(await gateway.envoy.line("flags=UAEX")).toContain("details=ext_authz_error");
  });
});
