import { METHODS } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildApp } from "../../../src/http/app.ts";
import { buildTestApp, HEALTHY, TOKEN } from "../../support/http-app.ts";

it("an app without checks and pushes answers 404 to them, and still serves health", async () => {
  const app = await buildApp({ health: HEALTHY, onFault: () => {} });
  for (const url of ["/check", "/", "/x", "/v3/discovery:secrets"]) {
    expect((await app.inject({ method: "POST", url })).statusCode).toBe(404);
    expect((await app.inject(url)).statusCode).toBe(404);
  }
  expect((await app.inject("/readyz")).statusCode).toBe(200);
});

it("an unexpected error is reported, and the client learns nothing of it", async () => {
  const error = new TypeError("secret detail");
  const decide = () => Promise.reject(error);
  const { app, errors } = await buildTestApp({ check: { decide } });
  const response = await app.inject("/check");
  expect(response.statusCode).toBe(500);
  expect(response.json()).toEqual({ error: "internal" });
  expect(errors).toEqual([error]);
});

describe("a request as Envoy forwards it", () => {
  let port = 0;
  let close = async () => {};

  beforeAll(async () => {
    const { app } = await buildTestApp();
    await app.listen({ host: "127.0.0.1", port: 0 });
    const address = app.server.address();
    port = typeof address === "object" && address !== null ? address.port : 0;
    close = () => app.close();
  });
  afterAll(() => close());

  /** Sends the text unchanged and returns the whole answer. */
  function send(head: string, body = ""): Promise<string> {
    const socket = connect(port, "127.0.0.1");
    socket.end(`${head.replaceAll("\n", "\r\n")}\r\n\r\n${body}`);
    return text(socket);
  }

  const rest = "Host: svc.run.app:443\nConnection: close\ncontent-length: 0";
  it.each([
    ["a path that does not decode", `GET /check/%zz HTTP/1.1\n${rest}`],
    ["a path that climbs", `GET /check/x/../../metrics HTTP/1.1\n${rest}`],
    ["a path of 32 KiB", `GET /check/${"a".repeat(32_768)} HTTP/1.1\n${rest}`],
    [
      "an Authorization of 48 KiB",
      `GET /check HTTP/1.1\n${rest}\nAuthorization: ${"a".repeat(49_152)}`,
    ],
    [
      "a JSON content type and no body",
      `POST /check HTTP/1.1\n${rest}\nContent-Type: application/json`,
    ],
    ["HTTP/1.0 and no Host", "GET /check HTTP/1.0"],
    ["HTTP/1.1 and no Host", "GET /check HTTP/1.1\nConnection: close"],
    ["the path of the metrics and another method", `POST /metrics HTTP/1.1\n${rest}`],
    ["an absolute URL", `GET http://svc.run.app/x HTTP/1.1\n${rest}`],
  ])("with %s gets a normal answer", async (_what, head) => {
    const answer = await send(head);
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toContain(`authorization: ${TOKEN.header}\r\n`);
  });

  it.each(METHODS.filter((method) => method !== "CONNECT"))(
    "with method %s gets a normal answer",
    async (method) => {
      expect(await send(`${method} /check/x HTTP/1.1\n${rest}`)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    },
  );

  it.each(["application/json", "nonsense"])(
    "with a body of type %s gets a normal answer",
    async (type) => {
      const head = `POST /check HTTP/1.1\nHost: a\nConnection: close\nContent-Type: ${type}`;
      const answer = await send(`${head}\nContent-Length: 5`, "{bad}");
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    },
  );
});
