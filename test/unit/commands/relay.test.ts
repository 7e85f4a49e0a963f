import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { runMain } from "../../support/server-process.ts";
import { startRelay } from "../../support/relay-process.ts";

describe("relay", () => {
  it("drains on SIGTERM and exits with 0", async () => {
    await using relay = await startRelay("127.0.0.1:1");
    expect(await relay.stop()).toBe(0);
    expect(await relay.event("draining")).toMatchObject({ drainTimeoutMs: 10_000 });
    expect(await relay.event("stopped")).toMatchObject({ level: "info" });
  });

  it("stays up when a client speaks no HTTP/2", async () => {
    await using relay = await startRelay("127.0.0.1:1");
    const port = Number(relay.address.split(":")[1]);
    const client = connect(port, "127.0.0.1").resume();
    client.end("hello\r\n\r\n");
    await once(client, "close");
    expect(await relay.stop()).toBe(0);
  });

  it("exits with 1 if it cannot listen, and with 2 for a wrong flag", async () => {
    await using relay = await startRelay("127.0.0.1:1");
    const taken = await runMain(["relay", `--listen=${relay.address}`]);
    expect(taken).toMatchObject({ code: 1, stderr: expect.stringContaining("already in use") });
    expect(await runMain(["relay", "--listen=0.0.0.0:1"])).toMatchObject({ code: 2 });
  });
});
