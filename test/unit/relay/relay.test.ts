import { once } from "node:events";
import { constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { startRelay } from "../../../src/relay/relay.ts";
import {
  closed,
  outcome,
  startRelayFixture,
  useFakeTimers,
  type RelayFixture,
} from "../../support/relay-fixture.ts";

const PROBE_INTERVAL_MS = 15_000;
/** The start of an HTTP/2 connection, and a POST request on its first stream. */
const FIRST_STREAM = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from("000000040000000000", "hex"),
  Buffer.from("000006010400000001838684410161", "hex"),
]);
/** The same from a client that may be sent 2 GiB. */
const FIRST_STREAM_WITHOUT_LIMITS = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from("00000604000000000000047fffffff", "hex"),
  Buffer.from("0000040800000000007fff0000", "hex"),
  Buffer.from("000006010400000001838684410161", "hex"),
]);
/** The start of a connection without streams, and GOAWAY. */
const GOODBYE = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from("000000040000000000", "hex"),
  Buffer.from("0000080700000000000000000000000000", "hex"),
]);
/** An empty DATA frame with END_STREAM, on that stream. */
const END_OF_STREAM = Buffer.from("000000000100000001", "hex");

/** Resolves when the system takes nothing more of what was written. */
async function stalled(socket: Socket): Promise<void> {
  let left = Infinity;
  for (let turns = 0; turns < 1000; turns++) {
    if (socket.writableLength !== left) turns = 0;
    left = socket.writableLength;
    await setImmediate();
  }
}

let fixture: RelayFixture;
beforeEach(async () => {
  fixture = await startRelayFixture();
});
afterEach(() => fixture[Symbol.asyncDispose]());
const openPair = () => fixture.openPair();
const openStream = () => fixture.openStream();

describe("the relay", () => {
  it("answers 503 and reports the code when the server cannot be reached", async () => {
    await using nobody = await startRelayFixture(1);
    expect((await nobody.openStream()).status).toBe(503);
    expect(nobody.unreachable).toEqual(["ECONNREFUSED"]);
  });

  it("serves other streams while one is not read", async () => {
    const { stream, socket } = await openPair();
    stream.pause();
    socket.write(Buffer.alloc(64_000_000));
    const { stream: other } = await openStream();
    other.write("hello");
    other.close();
    await closed(other);
    expect(other.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  });

  it("waits for open streams when it closes, and resets them when the time is up", async () => {
    const { stream, socket } = await openPair();
    const closing = fixture.relay.close(200);
    socket.write("still here");
    const [chunk] = (await once(stream, "data")) as [Buffer];
    expect(String(chunk)).toBe("still here");
    expect(await outcome(socket)).toBe("ECONNRESET");
    await closing;
  });

  it("resets the connections of a tunnel whose client answers no ping", async () => {
    await using parts = new AsyncDisposableStack();
    const probing = parts.use(await startRelayFixture());
    parts.use(useFakeTimers());
    const frozen = connect(probing.relay.address.port, "127.0.0.1");
    onTestFinished(() => void frozen.destroy());
    frozen.on("error", () => {});
    const accepted = probing.accept();
    frozen.write(FIRST_STREAM);
    const socket = await accepted;
    const ending = outcome(socket);
    socket.end("an answer");
    await new Promise<void>((resolve) => {
      frozen.on("data", (chunk: Buffer) => void (chunk.includes(END_OF_STREAM) && resolve()));
    });
    vi.advanceTimersByTime(PROBE_INTERVAL_MS);
    vi.advanceTimersByTime(PROBE_INTERVAL_MS);
    expect(await ending).toBe("ECONNRESET");
  });

  it("cuts a tunnel whose client takes nothing of what was sent, its socket too", async () => {
    await using parts = new AsyncDisposableStack();
    const probing = parts.use(await startRelayFixture());
    const timers = parts.use(useFakeTimers());
    const frozen = connect(probing.relay.address.port, "127.0.0.1");
    parts.defer(() => void frozen.destroy());
    frozen.on("error", () => {});
    const accepted = probing.accept();
    frozen.write(FIRST_STREAM_WITHOUT_LIMITS);
    const socket = await accepted;
    // More than the system buffers.
    for (let chunks = 0; chunks < 1000; chunks++) socket.write(Buffer.alloc(65_536));
    await stalled(socket);
    vi.advanceTimersByTime(PROBE_INTERVAL_MS);
    const ending = outcome(socket);
    vi.advanceTimersByTime(PROBE_INTERVAL_MS);
    expect(await ending).toBe("ECONNRESET");
    timers[Symbol.dispose]();
    await probing.relay.close(60_000);
  });

  it("sends no ping on a tunnel that has ended, while its client keeps the socket open", async () => {
    await using parts = new AsyncDisposableStack();
    const probing = parts.use(await startRelayFixture());
    parts.use(useFakeTimers());
    const { port } = probing.relay.address;
    const leaving = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    parts.defer(() => void leaving.destroy());
    leaving.resume().write(GOODBYE);
    await once(leaving, "end");
    expect(() => vi.advanceTimersByTime(PROBE_INTERVAL_MS)).not.toThrow();
  });

  it("keeps an idle tunnel whose client answers pings", async () => {
    await using parts = new AsyncDisposableStack();
    const probing = parts.use(await startRelayFixture());
    parts.use(useFakeTimers());
    const { stream, socket } = await probing.openPair();
    for (let probes = 0; probes < 4; probes++) {
      const pinged = once(probing.session, "ping");
      vi.advanceTimersByTime(PROBE_INTERVAL_MS);
      await pinged;
      // The relay has the answer to its ping before this one.
      await new Promise((resolve) => probing.session.ping(resolve));
    }
    socket.write("still here");
    const [chunk] = (await once(stream, "data")) as [Buffer];
    expect(String(chunk)).toBe("still here");
  });

  it("throws a StartError with the address if it cannot listen", async () => {
    const taken = fixture.relay.address;
    const starting = startRelay({ listen: taken, target: taken, onUnreachable: () => {} });
    await expect(starting).rejects.toThrow(
      `127.0.0.1:${taken.port}: cannot listen: the address is already in use`,
    );
  });
});
