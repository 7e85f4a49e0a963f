import { once } from "node:events";
import { createServer, type Http2ServerResponse } from "node:http2";
import type { TLSSocket } from "node:tls";
import { expect, it } from "vitest";
import { rememberClient } from "../../../src/access/client-names.ts";
import { limitOpenCalls, mostOpenCalls } from "../../../src/grpc/open-calls.ts";
import { CHECK_CALL, openHttp2 } from "../../support/http2-client.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

/** A server with a limit; each connection in turn has one of the certificates' names. */
async function setUp(most: number, names: readonly string[] = []) {
  const parts = new AsyncDisposableStack();
  const waiting: Http2ServerResponse[] = [];
  let refused = 0;
  const hold = (_request: unknown, answer: Http2ServerResponse) => void waiting.push(answer);
  const server = createServer(limitOpenCalls(hold, most, () => (refused += 1)));
  const left = [...names];
  server.prependListener("connection", (socket: TLSSocket) => {
    const subjectAltName = left.shift();
    const getPeerX509Certificate = () => ({ subjectAltName });
    if (subjectAltName === undefined) return;
    rememberClient(Object.assign(socket, { authorized: true, getPeerX509Certificate } as never));
  });
  const port = await listenOnLoopback(server);
  parts.defer(() => void server.close());
  const open = () => parts.use(openHttp2(`127.0.0.1:${port}`));
  /** Ends the calls that wait, and waits for their ends. */
  async function finish(): Promise<void> {
    const closed = waiting.map(({ stream }) => once(stream, "close"));
    for (const answer of waiting.splice(0)) answer.end();
    await Promise.all(closed);
  }
  return {
    server,
    open,
    finish,
    refused: () => refused,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

it("calls beyond the limit are refused until an open one ends", async () => {
  await using parts = await setUp(2);
  const client = parts.open();
  const both = [client.request(CHECK_CALL), client.request(CHECK_CALL)];
  await expect(client.request(CHECK_CALL)).rejects.toThrow("NGHTTP2_REFUSED_STREAM");
  expect(parts.refused()).toBe(1);
  await parts.finish();
  expect((await Promise.all(both)).map(({ status }) => status)).toEqual([200, 200]);
  const arrived = once(parts.server, "stream");
  const third = client.request(CHECK_CALL);
  await arrived;
  await parts.finish();
  expect((await third).status).toBe(200);
});

it("a certificate has half of the limit, over however many connections", async () => {
  await using parts = await setUp(4, ["DNS:flood", "DNS:flood", "DNS:other"]);
  const flood = parts.open();
  const calls = [flood.request(CHECK_CALL), flood.request(CHECK_CALL)];
  await expect(flood.request(CHECK_CALL)).rejects.toThrow("NGHTTP2_REFUSED_STREAM");
  await expect(parts.open().request(CHECK_CALL)).rejects.toThrow("NGHTTP2_REFUSED_STREAM");
  const arrived = once(parts.server, "stream");
  calls.push(parts.open().request(CHECK_CALL));
  await arrived;
  await parts.finish();
  expect((await Promise.all(calls)).map(({ status }) => status)).toEqual([200, 200, 200]);
});

it("open calls take at most a fifth of the heap", () => {
  expect(mostOpenCalls(170_000_000)).toBe(1000);
  expect(mostOpenCalls()).toBeGreaterThan(1000);
});
