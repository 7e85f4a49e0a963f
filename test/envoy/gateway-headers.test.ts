import { jwtVerify } from "jose";
import { once } from "node:events";
import {
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from "node:http";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway } from "../support/gateway.ts";
import { startHttpService, type HttpService } from "../support/http-service.ts";

const parts = new AsyncDisposableStack();
let container: HttpService;
/** The headers of the last request that the container received. */
let seen: IncomingHttpHeaders = {};
let answerHeaders: Readonly<Record<string, string>> = {};

beforeAll(async () => {
  container = parts.use(
    await startHttpService({
      request: (incoming, response) => {
        seen = incoming.headers;
        response.writeHead(200, answerHeaders).end("ok");
      },
    }),
  );
});
afterAll(() => parts.disposeAsync());

/** Sends a GET request and resolves when its response has ended. */
async function send(url: string, headers: OutgoingHttpHeaders): Promise<IncomingMessage> {
  const sent = request(url, { headers, maxHeaderSize: 1_048_576 }).end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  await text(response);
  return response;
}

/** The client's own credentials for the application behind Cloud Run. */
const OWN = { authorization: "Basic b3duOm93bg==" };
/** Cloud Run replaces the token's signature before it passes the request to the container. */
const FROM_CLOUD_RUN = /^Bearer .*SIGNATURE_REMOVED_BY_GOOGLE$/;

describe("the token", () => {
  it("replaces the client's Authorization", async () => {
    await using gateway = await startGateway({ container });
    expect((await fetch(gateway.url, { headers: OWN })).status).toBe(200);
    expect(seen.authorization).toMatch(FROM_CLOUD_RUN);
  });

  it("travels beside the client's Authorization as X-Serverless-Authorization", async () => {
    const serveFlags = ["--token-header=x-serverless-authorization"];
    await using gateway = await startGateway({ container, serveFlags });
    expect((await fetch(gateway.url, { headers: OWN })).status).toBe(200);
    expect(seen).toMatchObject(OWN);
    expect(seen["x-serverless-authorization"]).toMatch(FROM_CLOUD_RUN);
  });

  it("travels beside the client's Authorization as Proxy-Authorization for IAP", async () => {
    const audience = "123456-abc.apps.googleusercontent.com";
    await using gateway = await startGateway({
      // IAP checks the callers, so the service itself admits everyone.
      container: { ...container, public: true },
      serveFlags: ["--token-header=proxy-authorization", `--allow-audience=${audience}`],
      envoyFlags: [`--audience=${audience}`],
    });
    const headers = { ...OWN, "proxy-authorization": "forged" };
    expect((await fetch(gateway.url, { headers })).status).toBe(200);
    expect(seen).toMatchObject(OWN);
    const [, token = ""] = /^Bearer (.*)$/.exec(seen["proxy-authorization"] ?? "") ?? [];
    await jwtVerify(token, gateway.google.endpoint.keys, { audience });
  });
});

describe("a client's own token header", () => {
  const FORGED = {
    authorization: "Bearer forged",
    "x-serverless-authorization": "Bearer forged",
    "proxy-authorization": "Bearer forged",
  };

  it.each([
    ["gateway", "authorization"],
    ["gateway", "x-serverless-authorization"],
    ["gateway-push", "authorization"],
    ["gateway-push", "x-serverless-authorization"],
  ] as const)("does not get past %s with the token in %s", async (config, header) => {
    const envoyFlags = config === "gateway" ? [] : [`--token-header=${header}`];
    const serveFlags = [`--token-header=${header}`];
    await using gateway = await startGateway({ container, config, serveFlags, envoyFlags });
    // fetch() would not send these.
    const response = await send(gateway.url, FORGED);
    expect(response.statusCode).toBe(200);
    const received = Object.keys(FORGED).map((name) => [name, seen[name]]);
    const token: unknown = expect.stringMatching(FROM_CLOUD_RUN);
    expect(Object.fromEntries(received)).toEqual({
      authorization: header === "authorization" ? token : FORGED.authorization,
      "x-serverless-authorization": header === "authorization" ? undefined : token,
      "proxy-authorization": undefined,
    });
  });
});

describe("headers", () => {
  const manyHeaders = (count: number, length: number) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [`x-many-${i}`, "v".repeat(length)]),
    );

  it.each([
    ["many", 300, 100],
    ["large", 8, 10_000],
  ])("pass in both directions, however %s", async (_what, count, length) => {
    answerHeaders = manyHeaders(count * 2, length);
    await using gateway = await startGateway({ container });
    const response = await send(gateway.url, manyHeaders(count, length));
    expect(response.statusCode).toBe(200);
    expect(seen).toMatchObject(manyHeaders(count, length));
    expect(response.headers).toMatchObject(answerHeaders);
  });
});
