import {
  createServer,
  setGlobalProxyFromEnv,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchLightly, type FetchInit } from "../../../src/system/fetch.ts";
import { useProxies } from "../../../src/system/proxy.ts";
import { findFreePort, listenOnLoopback } from "../../support/loopback.ts";

interface Received extends Pick<IncomingMessage, "method" | "url" | "headers"> {
  readonly body: string;
}

let server: Server;
let port: number;
let received: Received[];

beforeEach(async () => {
  received = [];
  server = createServer((request, response) => void respond(request, response));
  port = await listenOnLoopback(server);
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = "", headers } = request;
  received.push({ method, url, headers, body: await text(request) });
  switch (url) {
    case "/cut":
      response.writeHead(200, { "content-length": "10" }).write("part");
      setImmediate(() => response.destroy());
      break;
    case "/silent":
      response.writeHead(200).write("part");
      break;
    default: {
      const headersToSend = { location: "/", "x-kind": "a" };
      response.writeHead(url === "/moved" ? 302 : 200, headersToSend).end("ok");
    }
  }
}

async function send(path: string, init: Partial<FetchInit> = {}) {
  const signal = new AbortController().signal;
  const url = new URL(path, `http://127.0.0.1:${port}`);
  const { status, headers, body } = await fetchLightly(url, {
    redirect: "manual",
    signal,
    ...init,
  });
  return { status, headers, body: body ?? Readable.from([]) };
}

describe("fetchLightly", () => {
  it("sends method, headers and a form, and returns status, headers and body", async () => {
    const body = new URLSearchParams({ assertion: "a b" });
    const answer = await send("/token?x", { method: "POST", headers: { "X-More": "1" }, body });
    expect(received).toMatchObject([
      {
        method: "POST",
        url: "/token?x",
        headers: {
          "x-more": "1",
          "content-type": "application/x-www-form-urlencoded;charset=UTF-8",
          "content-length": "13",
        },
        body: "assertion=a+b",
      },
    ]);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-kind")).toBe("a");
    expect([...answer.headers]).toContainEqual(["x-kind", "a"]);
    expect(answer.headers.get("x-missing") ?? "none").toBe("none");
    expect(await text(answer.body)).toBe("ok");
  });

  it("lets the caller name the type of a text", async () => {
    await send("/", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(received).toMatchObject([
      { headers: { "content-type": "application/json" }, body: "{}" },
    ]);
  });

  it("follows no redirect", async () => {
    expect((await send("/moved")).status).toBe(302);
    expect(received).toHaveLength(1);
  });

  it("rejects with the system's code when nobody listens", async () => {
    port = await findFreePort();
    await expect(send("/")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("rejects the body when the connection breaks off", async () => {
    const { body } = await send("/cut");
    await expect(text(body)).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("ends the body when the signal aborts", async () => {
    const abort = new AbortController();
    const { body } = await send("/silent", { signal: abort.signal });
    const reading = text(body);
    abort.abort();
    await expect(reading).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("sends nothing when the signal has aborted before", async () => {
    await expect(send("/", { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(received).toEqual([]);
  });
});

it("fetchLightly goes through the proxy that the environment names", async () => {
  useProxies({ http_proxy: `http://127.0.0.1:${port}` });
  try {
    const signal = new AbortController().signal;
    const url = new URL("http://peer.example/token");
    const { body } = await fetchLightly(url, { redirect: "manual", signal });
    expect(await text(body ?? Readable.from([]))).toBe("ok");
    expect(received).toMatchObject([{ url: "http://peer.example/token" }]);
  } finally {
    setGlobalProxyFromEnv({})();
  }
});
