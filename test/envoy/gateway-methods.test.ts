import { once } from "node:events";
import { connect as connectHttp2, createServer, type IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { API_AUDIENCE, startGateway, type Gateway } from "../support/gateway.ts";
import { listenOnLoopback } from "../support/loopback.ts";

describe.each(["gateway", "gateway-push"] as const)("%s", (config) => {
  const parts = new AsyncDisposableStack();
  let gateway: Gateway;

  beforeAll(async () => {
    const server = createServer((request, response) => response.end(request.method));
    parts.defer(() => void server.close());
    const containerPort = await listenOnLoopback(server);
    gateway = parts.use(
      await startGateway({ container: { containerPort, containerProtocol: "h2c" }, config }),
    );
  });
  afterAll(() => parts.disposeAsync());

  /** Sends one request over HTTP/1 and resolves with the response. */
  async function sendHttp1(head: string): Promise<string> {
    const socket = connect(gateway.port, "127.0.0.1");
    socket.write(`${head}\r\n\r\n`);
    return text(socket);
  }

  async function sendHttp2(method: string) {
    const session = connectHttp2(gateway.url);
    const stream = session.request({ ":method": method });
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    const body = await text(stream);
    session.destroy();
    return { status: headers[":status"], body };
  }

  it.each(["GET", "PURGE", "LIST", "VERSION-CONTROL", "FOO"])(
    "carries the method %s over both versions of HTTP",
    async (method) => {
      const head = `${method} / HTTP/1.1\r\nHost: x\r\nConnection: close`;
      expect(await sendHttp1(head)).toMatch(new RegExp(`^HTTP/1.1 200 .*${method}`, "s"));
      expect(await sendHttp2(method)).toEqual({ status: 200, body: method });
      expect(gateway.google.cloudRun.requests.at(-1)).toMatchObject({
        method,
        identity: { audience: API_AUDIENCE },
      });
    },
  );

  it("refuses TRACE, which would reflect the token", async () => {
    const before = gateway.google.cloudRun.requests.length;
    const answer = await sendHttp1("TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close");
    expect(answer).toMatch(/^HTTP\/1\.1 405 .*allow: GET, HEAD, POST.*method_not_allowed/s);
    expect((await sendHttp2("TRACE")).status).toBe(405);
    expect(gateway.google.cloudRun.requests).toHaveLength(before);
  });

  it("answers HTTP/1.0 requests without a Host, as HAProxy's health checks send them", async () => {
    expect(await sendHttp1("OPTIONS / HTTP/1.0")).toMatch(/^HTTP\/1\.[01] 200 /);
  });
});
