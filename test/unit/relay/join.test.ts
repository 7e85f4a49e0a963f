import { once } from "node:events";
import { constants } from "node:http2";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import {
  closed,
  outcome,
  readAll,
  startRelayFixture,
  type RelayFixture,
} from "../../support/relay-fixture.ts";
import { startUnresponsiveServer } from "../../support/unresponsive-server.ts";

const LARGE = Buffer.alloc(4_000_000, "x");

let fixture: RelayFixture;
beforeEach(async () => {
  fixture = await startRelayFixture();
});
afterEach(() => fixture[Symbol.asyncDispose]());
const openPair = () => fixture.openPair();

describe("a stream and its TCP connection", () => {
  it("carries an answer to a client that has ended its side", async () => {
    const { stream, socket } = await openPair();
    stream.end(LARGE);
    expect((await readAll(socket)).equals(LARGE)).toBe(true);
    socket.end(LARGE);
    expect((await readAll(stream)).equals(LARGE)).toBe(true);
  });

  it("carries an upload to a server that has ended its side", async () => {
    const { stream, socket } = await openPair();
    socket.end("that is all");
    expect(String(await readAll(stream))).toBe("that is all");
    stream.end(LARGE);
    expect((await readAll(socket)).equals(LARGE)).toBe(true);
  });

  it("takes and discards an upload to a server that has closed", async () => {
    const { stream, socket } = await openPair();
    socket.end("that is all");
    expect(String(await readAll(stream))).toBe("that is all");
    socket.destroy();
    const ending = closed(stream);
    stream.end(LARGE);
    await ending;
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  });

  it("delivers what a server sent before it closed, to a reader that starts late", async () => {
    const { stream, socket } = await openPair();
    stream.pause();
    socket.end(LARGE);
    socket.destroySoon();
    // The relay answers this when it has read what the server sent, as far as the window allows.
    await new Promise((resolve) => fixture.session.ping(resolve));
    expect((await readAll(stream)).equals(LARGE)).toBe(true);
  });

  it("resets the server's connection when the client cancels its stream", async () => {
    const { stream, socket } = await openPair();
    stream.write("a part");
    await once(socket, "readable");
    const ending = outcome(socket);
    stream.destroy();
    expect(await ending).toBe("ECONNRESET");
  });

  it("resets the server's connection when the tunnel is cut", async () => {
    const { stream, socket } = await openPair();
    stream.write("a part");
    await once(socket, "readable");
    const ending = outcome(socket);
    fixture.session.destroy();
    expect(await ending).toBe("ECONNRESET");
  });

  it("cancels the stream when the server resets its connection", async () => {
    const { stream, socket } = await openPair();
    socket.resetAndDestroy();
    await closed(stream);
    expect(stream.rstCode).not.toBe(constants.NGHTTP2_NO_ERROR);
  });

  it("answers 503 when the server does not answer", async () => {
    await using gone = await startUnresponsiveServer();
    await using unanswered = await startRelayFixture(gone.port);
    expect((await unanswered.openStream()).status).toBe(503);
    expect(unanswered.unreachable).toEqual(["ETIMEDOUT"]);
  });

  it("closes its connection when a client that has ended its side cancels the answer", async () => {
    const { stream, socket } = await openPair();
    stream.end("a request");
    await once(socket, "readable");
    socket.resume();
    await once(socket, "end");
    stream.destroy();
    const timer = setInterval(() => socket.write(LARGE), 10);
    onTestFinished(() => clearInterval(timer));
    await closed(socket);
    expect(socket.destroyed).toBe(true);
  });
});
