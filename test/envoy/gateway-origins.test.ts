import { once } from "node:events";
import { request as sendRequest, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";

describe.each(["gateway", "gateway-push"] as const)("%s", (config) => {
  const parts = new AsyncDisposableStack();
  let gateway: Gateway;

  beforeAll(async () => {
    const sockets = new WebSocketServer({ noServer: true });
    parts.defer(() => sockets.close());
    const container = parts.use(
      await startHttpService({
        request: (_request, response) => response.end("hello"),
        upgrade: (request, socket) => {
          sockets.handleUpgrade(request, socket, Buffer.alloc(0), (client) => client.send("hi"));
        },
      }),
    );
    const envoyFlags = ["--allow-origin=https://app.example.com,http://localhost:3000"];
    gateway = parts.use(await startGateway({ container, config, envoyFlags }));
  });
  afterAll(() => parts.disposeAsync());

  async function send(method: string, headers: Readonly<Record<string, string | string[]>>) {
    const sent = sendRequest(gateway.url, { method, headers }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return { status: response.statusCode, body: await text(response) };
  }

  const REFUSED = { status: 403, body: '{"error":"origin_not_allowed"}' };
  const FOREIGN = [
    ["another site", "https://evil.example"],
    ["an opaque origin", "null"],
    ["another port of the same host", "http://127.0.0.1:1"],
    ["an allowed host in another scheme", "http://app.example.com"],
    ["an allowed host on another port", "https://app.example.com:8443"],
    ["a longer name", "https://app.example.com.evil.example"],
    ["an empty origin", ""],
    ["no URL", "evil"],
  ] as const;

  it.each(FOREIGN)(
    "refuses requests from %s, without a request to Cloud Run",
    async (_what, origin) => {
      const before = gateway.google.cloudRun.requests.length;
      for (const method of ["GET", "POST", "OPTIONS"]) {
        expect(await send(method, { origin })).toEqual(REFUSED);
      }
      expect(gateway.google.cloudRun.requests).toHaveLength(before);
    },
  );

  it.each(FOREIGN)("refuses WebSockets from %s", async (_what, origin) => {
    const socket = new WebSocket(gateway.url.replace("http", "ws"), { headers: { origin } });
    const [error] = (await once(socket, "error")) as [Error];
    expect(error.message).toContain("403");
  });

  it("refuses a request with two origins", async () => {
    expect(await send("GET", { origin: [gateway.url, "https://evil.example"] })).toEqual(REFUSED);
  });

  it("serves its own pages, by the host that the browser used", async () => {
    expect(await send("POST", { origin: gateway.url })).toMatchObject({ status: 200 });
    const host = "api.localhost:9090";
    expect(await send("POST", { host, origin: `http://${host}` })).toMatchObject({ status: 200 });
    const socket = new WebSocket(gateway.url.replace("http", "ws"), { origin: gateway.url });
    expect(String((await once(socket, "message"))[0])).toBe("hi");
    socket.close();
    await once(socket, "close");
  });

  it.each(["https://app.example.com", "http://localhost:3000"])(
    "serves pages of %s, which --allow-origin names",
    async (origin) => {
      expect(await send("POST", { origin })).toMatchObject({ status: 200 });
      expect(await send("OPTIONS", { origin })).toMatchObject({ status: 200 });
    },
  );
});
