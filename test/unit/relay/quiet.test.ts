import { once } from "node:events";
import { connect } from "node:http2";
import { describe, expect, it } from "vitest";
import { startHeldLine } from "../../support/held-line.ts";
import { closed, startRelayFixture } from "../../support/relay-fixture.ts";

/** What the relay's window lets a client have on its way: 64 frames. */
const WINDOW = Buffer.alloc(1_048_576);
/** With a full window each, they have more than a thousand frames on their way. */
const STREAMS = 40;

describe("a reset of a stream whose client is sending", () => {
  it("waits for what is on its way, so that the tunnel's other connections go on", async () => {
    await using fixture = await startRelayFixture();
    using line = await startHeldLine(fixture.relay.address.port);
    const session = connect(`http://127.0.0.1:${line.port}`);
    const open = async () => {
      const accepted = fixture.accept();
      const stream = session.request({ ":method": "POST", ":path": "/" });
      stream.on("error", () => {});
      await once(stream, "response");
      return { stream, socket: await accepted };
    };
    const bystander = await open();
    const pairs = await Promise.all(Array.from({ length: STREAMS }, open));
    line.hold();
    for (const { stream } of pairs) stream.write(WINDOW);
    for (const { socket } of pairs) socket.resetAndDestroy();
    // When this has been connected, the relay has seen the resets.
    await fixture.openPair();
    line.release();
    await Promise.all(pairs.map(({ stream }) => closed(stream)));
    expect(bystander.stream.closed).toBe(false);
    bystander.stream.write("hello");
    const [chunk] = (await once(bystander.socket, "data")) as [Buffer];
    expect(String(chunk)).toBe("hello");
    session.destroy();
  });
});
