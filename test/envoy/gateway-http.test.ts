import { once } from "node:events";
import {
  request as sendRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { runCommand } from "../support/command.ts";
import { startEnvoy } from "../support/envoy-process.ts";
import { createGate } from "../support/gate.ts";
import { API_AUDIENCE, API_HOST, startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService, type HttpService } from "../support/http-service.ts";

const parts = new AsyncDisposableStack();
let container: HttpService;
let gateway: Gateway;
/** The headers of the last request that the container received. */
let seen: IncomingHttpHeaders = {};
const nextEvent = createGate();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  seen = request.headers;
  const { url = "" } = request;
  if (url === "/events") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: one\n\n");
    await nextEvent.waitUntilOpen();
    response.end("data: two\n\n");
  } else if (url === "/trailers") {
    response.writeHead(200, { trailer: "checksum" });
    response.addTrailers({ checksum: "abc" });
    response.end("body");
  } else {
    response.writeHead(200, { server: "container", "set-cookie": ["a=1", "b=2"] });
    response.end(`${request.method} ${url}`);
  }
}

beforeAll(async () => {
  const sockets = new WebSocketServer({ noServer: true });
  parts.defer(() => sockets.close());
  container = parts.use(
    await startHttpService({
      request: (request, response) => void answer(request, response),
      upgrade: (request, socket) => {
        seen = request.headers;
        sockets.handleUpgrade(request, socket, Buffer.alloc(0), (client) => {
          client.on("message", (data, isBinary) => client.send(data, { binary: isBinary }));
          client.send("welcome");
        });
      },
    }),
  );
  gateway = parts.use(await startGateway({ container }));
});
afterAll(() => parts.disposeAsync());

describe("gateway", () => {
  it.each([
    ["HTTP/1.1", ["--http1.1"], "1.1"],
    ["HTTP/2 without TLS", ["--http2-prior-knowledge"], "2"],
    ["HTTP/1.1 with an offer to upgrade to HTTP/2", ["--http2"], "1.1"],
    [
      "HTTP/1.1 with an offer to upgrade to TLS",
      ["-H", "Connection: Upgrade", "-H", "Upgrade: TLS/1.2"],
      "1.1",
    ],
    [
      "HTTP/1.1 that offers an upgrade to SPDY",
      ["-H", "Connection: Upgrade", "-H", "Upgrade: SPDY/3.1"],
      "1.1",
    ],
    [
      "HTTP/1.1 that offers an upgrade to a longer name than websocket",
      ["-H", "Connection: Upgrade", "-H", "Upgrade: WebSocket2"],
      "1.1",
    ],
    ["HTTP/1.0", ["--http1.0"], "1"],
  ])("carries %s from curl to the private service", async (_what, flags, version) => {
    const format = "\n%{http_code} %{http_version}";
    const url = `${gateway.url}/a%2Fb/../c//d?e=%zz`;
    const curl = ["-sS", "--path-as-is", "-X", "PURGE", "-w", format, ...flags, url];
    expect(await runCommand("curl", curl)).toBe(`PURGE /a%2Fb/../c//d?e=%zz\n200 ${version}`);
    const last = gateway.google.cloudRun.requests.at(-1);
    expect(last?.identity?.audience).toBe(API_AUDIENCE);
    expect(seen.host).toBe(API_HOST);
  });

  it.each([
    ["a 32 KiB path", "GET", `/${"a".repeat(32_768)}`, {}],
    ["a 48 KiB Authorization header", "GET", "/", { authorization: "a".repeat(49_152) }],
    ["an empty body of type JSON", "POST", "/", { "content-type": "application/json" }],
    ["a WebDAV method", "PROPFIND", "/", { depth: "1" }],
  ])("carries %s", async (_what, method, path, headers) => {
    const sent = sendRequest(`${gateway.url}${path}`, { method, headers }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    expect(await text(response)).toBe(`${method} ${path}`);
    expect(gateway.google.cloudRun.requests.at(-1)?.identity?.audience).toBe(API_AUDIENCE);
  });

  it("passes headers in both directions, except its internal ones", async () => {
    const headers = {
      "x-api-key": "k",
      cookie: "c=1",
      "x-id-token-audience": "https://evil.run.app",
      "x-authz-secret": "forged",
    };
    const response = await fetch(`${gateway.url}/`, { headers });
    expect(response.headers.get("server")).toBe("container");
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect([...response.headers.keys()].filter((name) => name.startsWith("x-"))).toEqual([]);
    expect(seen).toMatchObject({ "x-api-key": "k", cookie: "c=1" });
    for (const name of ["x-id-token-audience", "x-authz-secret", "x-request-id"]) {
      expect(seen).not.toHaveProperty(name);
    }
    expect(Object.keys(seen).filter((name) => name.startsWith("x-envoy"))).toEqual([]);
  });

  it("delivers each server-sent event as it is sent", async () => {
    nextEvent.close();
    const response = await fetch(`${gateway.url}/events`);
    const received: string[] = [];
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      received.push(chunk);
      nextEvent.open();
    }
    expect(received).toEqual(["data: one\n\n", "data: two\n\n"]);
  });

  it("passes on trailers over HTTP/1.1", async () => {
    const raw = await runCommand("curl", ["-sS", "--raw", `${gateway.url}/trailers`]);
    expect(raw).toMatch(/checksum: abc\r\n\r\n$/);
  });

  it("carries WebSockets", async () => {
    const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/socket`, ["chat"]);
    const [welcome] = await once(socket, "message");
    expect(String(welcome)).toBe("welcome");
    expect(seen.authorization).toMatch(/^Bearer .*SIGNATURE_REMOVED_BY_GOOGLE$/);
    const payload = Buffer.alloc(200_000, "x");
    socket.send(payload);
    const [echo] = await once(socket, "message");
    expect((echo as Buffer).equals(payload)).toBe(true);
    socket.close(4001, "done");
    expect(await once(socket, "close")).toEqual([4001, Buffer.from("done")]);
    expect(gateway.google.cloudRun.requests.at(-1)).toMatchObject({ status: 101 });
  });

  it("does not log a WebSocket that ends normally as failed", async () => {
    await using other = await startGateway({ container });
    const socket = new WebSocket(`${other.url.replace("http", "ws")}/socket`);
    await once(socket, "message");
    socket.close();
    await once(socket, "close");
    await other.google.cloudRun.close();
    // A request that does fail is logged after the WebSocket.
    expect((await fetch(other.url)).status).toBe(503);
    await other.envoy.line("request failed: status=503");
    expect(other.envoy.logs()).not.toContain("status=101");
  });

  it("sends the token with a WebSocket whose Connection header names the token's header", async () => {
    const headers = {
      connection: "Upgrade, authorization",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": Buffer.alloc(16).toString("base64"),
    };
    const sent = sendRequest(`${gateway.url}/socket`, { headers }).end();
    const [response, socket] = (await once(sent, "upgrade")) as [IncomingMessage, Socket];
    expect(response.statusCode).toBe(101);
    socket.destroy();
  });

  it("resolves the auth server's host name when the server listens on IPv4 only", async () => {
    const { google, authServer } = gateway;
    await using other = await startEnvoy("gateway", [
      ...google.serviceFlags(API_HOST),
      "--listen=127.0.0.1:0",
      `--authz=${authServer.address.replace("127.0.0.1", "localhost")}`,
    ]);
    const response = await fetch(`http://127.0.0.1:${other.port("http")}/`);
    expect(response.status).toBe(200);
  });

  it("sends nothing to a server whose certificate is for another host", async () => {
    const { google, authServer } = gateway;
    const before = google.cloudRun.requests.length;
    await using envoy = await startEnvoy("gateway", [
      ...google.serviceFlags("api.example.com"),
      `--audience=${API_AUDIENCE}`,
      `--authz=${authServer.address}`,
      "--listen=127.0.0.1:0",
    ]);
    const url = `http://127.0.0.1:${envoy.port("http")}`;
    expect((await fetch(url)).status).toBe(503);
    const [error] = (await once(new WebSocket(url.replace("http", "ws")), "error")) as [Error];
    expect(error.message).toContain("503");
    expect(await envoy.line("flags=UF")).toContain("CERTIFICATE_VERIFY_FAILED");
    expect(google.cloudRun.requests).toHaveLength(before);
  });
});
