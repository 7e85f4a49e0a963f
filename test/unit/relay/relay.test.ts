import { once } from "node:events";
import { constants } from "node:http2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startRelay } from "../../../src/relay/relay.ts";
import {
  closed,
  outcome,
  startRelayFixture,
  type RelayFixture,
} from "../../support/relay-fixture.ts";

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

  it("throws a StartError with the address if it cannot listen", async () => {
    const taken = fixture.relay.address;
    const starting = startRelay({ listen: taken, target: taken, onUnreachable: () => {} });
    await expect(starting).rejects.toThrow(`127.0.0.1:${taken.port}: cannot listen: EADDRINUSE`);
  });
});
