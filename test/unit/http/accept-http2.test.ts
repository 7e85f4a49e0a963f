import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, expect, it } from "vitest";
import { acceptHttp2 } from "../../../src/http/accept-http2.ts";
import { listen } from "../../../src/http/listen.ts";
import { formatAddress } from "../../../src/system/address.ts";
import { buildTestApp, TOKEN } from "../../support/http-app.ts";
import { CHECK_CALL, openHttp2 } from "../../support/http2-client.ts";

const parts = new AsyncDisposableStack();
afterAll(() => parts.disposeAsync());

async function setUp({ failure, until }: { failure?: Error; until?: Promise<void> } = {}) {
  const { app } = await buildTestApp();
  const errors: unknown[] = [];
  let loads = 0;
  const http2 = acceptHttp2(app, {
    loadGrpc: async () => {
      loads += 1;
      await until;
      if (failure !== undefined) throw failure;
      return (_request, response) => void response.end();
    },
    onFault: (error) => errors.push(error),
  });
  const address = formatAddress(await listen(app, { kind: "tcp", host: "127.0.0.1", port: 0 }));
  parts.defer(async () => {
    http2.destroy();
    await app.close();
  });
  return { app, http2, address, errors, loads: () => loads };
}

it("loads gRPC once, at the first HTTP/2 connection", async () => {
  const { address, loads } = await setUp();
  expect((await fetch(`http://${address}/check`)).status).toBe(200);
  expect(loads()).toBe(0);
  using one = openHttp2(address);
  using other = openHttp2(address);
  const call = () => one.request(CHECK_CALL, Buffer.alloc(0));
  const answers = await Promise.all([call(), call(), other.request({ ":path": "/check" })]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(answers[2]?.headers["authorization"]).toBe(TOKEN.header);
  expect(loads()).toBe(1);
});

it("reports an error of loading and closes the connection", async () => {
  const failure = new Error("missing");
  const { address, errors } = await setUp({ failure });
  using client = openHttp2(address);
  await expect(client.request({})).rejects.toThrow(/closed|reset/i);
  expect(errors).toEqual([failure]);
  expect((await fetch(`http://${address}/check`)).status).toBe(200);
});

it("survives the reset of a connection that waits for the loading", async () => {
  const { promise: until, resolve } = Promise.withResolvers<void>();
  const { app, address, errors, loads } = await setUp({ until });
  const accepted = once(app.server, "connection") as Promise<[Socket]>;
  const client = connect(Number(address.split(":")[1]), "127.0.0.1");
  client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const [socket] = await accepted;
  // Not by once(), which would listen to errors.
  const closed = new Promise((done) => socket.on("close", done));
  await expect.poll(loads).toBe(1);
  client.resetAndDestroy();
  await closed;
  resolve();
  using other = openHttp2(address);
  expect((await other.request({ ":path": "/livez" })).status).toBe(200);
  expect(errors).toEqual([]);
});

it("announces an end that began before the first connection", async () => {
  const { http2, address } = await setUp();
  http2.announceEnd();
  using client = openHttp2(address);
  const answer = client.request({ ":path": "/livez" });
  await once(client.session, "goaway");
  expect((await answer).status).toBe(200);
});

it.each(["close", "destroy"] as const)(
  "%s closes connections that have sent nothing",
  async (act) => {
    const { http2, address } = await setUp();
    const silent = connect(Number(address.split(":")[1]), "127.0.0.1");
    // The server has accepted it when it answers a later connection.
    await once(silent, "connect");
    await fetch(`http://${address}/livez`);
    http2[act]();
    await once(silent.resume(), "close");
    expect(silent.destroyed).toBe(true);
  },
);
