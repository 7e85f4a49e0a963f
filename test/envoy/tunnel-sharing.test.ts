import { expect, it } from "vitest";
import { receive, sendPattern } from "../support/byte-pattern.ts";
import { startTcpPairs } from "../support/tcp-pairs.ts";
import { startTunnel } from "../support/tunnel.ts";
import { MATRIX } from "../support/tunnel-matrix.ts";

const MEBIBYTE = 1_048_576;
/** More than a window. */
const LARGE = 24 * MEBIBYTE;
/** More than a client's Envoy takes for a slow server: two windows of 16 MiB. */
const ON_ITS_WAY = 36 * MEBIBYTE;
/** More than the windows on the way and the buffers of the system, one of which may grow to 32 MiB. */
const UNREAD = 96 * MEBIBYTE;

it("readers that stall hold up no other connection of their tunnel, and get everything later", async () => {
  await using pairs = await startTcpPairs();
  await using tunnel = await startTunnel({
    clientFlags: ["--streams-per-tunnel=20"],
    relay: true,
    targetPort: pairs.port,
  });
  using down = await pairs.connect(tunnel.port);
  using up = await pairs.connect(tunnel.port);
  const stalled = [receive(down.client), receive(up.server)];
  void sendPattern(down.server, UNREAD).then(() => down.server.end());
  void sendPattern(up.client, UNREAD).then(() => up.client.end());
  // The first fills whatever the stalled ones have left.
  for (const row of ["client half-closes and reads", "server half-closes and reads on"] as const) {
    using pair = await pairs.connect(tunnel.port);
    expect(await MATRIX[row](pair, LARGE)).toBeUndefined();
  }
  expect(tunnel.google.cloudRun.requests).toHaveLength(1);
  expect(stalled.map((each) => each.received().bytes)).toEqual([0, 0]);
  // The senders are not done: neither could hand over all of it.
  expect(Math.min(down.server.writableLength, up.client.writableLength)).toBeGreaterThan(0);

  for (const each of stalled) each.read();
  for (const each of stalled) {
    await each.over;
    expect(each.received()).toMatchObject({ bytes: UNREAD, isCorrupt: false, ended: true });
  }
});

it.each([1, 20])(
  "a tunnel of which the last connection has ended closes, with --streams-per-tunnel %i",
  async (streams) => {
    await using pairs = await startTcpPairs();
    await using tunnel = await startTunnel({
      clientFlags: [`--streams-per-tunnel=${streams}`],
      relay: true,
      targetPort: pairs.port,
      editClient: (config) => config.replaceAll(/idle_timeout: [16]0s/g, "idle_timeout: 1s"),
    });
    const open = async () => {
      using pair = await pairs.connect(tunnel.port);
      return await MATRIX["client half-closes and reads"](pair, 20_000);
    };
    expect(await open()).toBeUndefined();
    // The tunnel server logs a session when it has ended.
    await tunnel.tunnelServer.line("connection closed: ");
    expect(await open()).toBeUndefined();
    expect(tunnel.google.cloudRun.requests).toHaveLength(2);
  },
);

it("what a client has sent before its end arrives, though the server has ended its side and is slow", async () => {
  await using pairs = await startTcpPairs();
  await using tunnel = await startTunnel({
    clientFlags: ["--streams-per-tunnel=1"],
    relay: true,
    targetPort: pairs.port,
  });
  using pair = await pairs.connect(tunnel.port);
  const [up, down] = [receive(pair.server), receive(pair.client)];
  down.read();
  up.read(6_000_000);
  pair.server.end();
  await down.over;
  void sendPattern(pair.client, ON_ITS_WAY).then(() => pair.client.end());
  await up.over;
  expect(up.received()).toMatchObject({ bytes: ON_ITS_WAY, ended: true, error: undefined });
});

it("new connections get another tunnel when theirs is old, and the old ones go on", async () => {
  await using pairs = await startTcpPairs();
  await using tunnel = await startTunnel({
    clientFlags: ["--streams-per-tunnel=20"],
    relay: true,
    targetPort: pairs.port,
    editClient: (config) => config.replace("duration: 1600s", "duration: 1s"),
  });
  const { tunnelClient, google } = tunnel;
  const replaced = async () => {
    const stat = "cluster.mtls.upstream_cx_max_duration_reached";
    const url = `http://127.0.0.1:${tunnelClient.adminPort}/stats?filter=${stat}`;
    return Number(/: (\d+)/.exec(await (await fetch(url)).text())?.[1]);
  };
  const pair = await pairs.connect(tunnel.port);
  const upload = receive(pair.server);
  upload.read();
  void sendPattern(pair.client, MEBIBYTE);
  await upload.has(MEBIBYTE);
  await expect.poll(replaced, { timeout: 10_000 }).toBe(1);
  using next = await pairs.connect(tunnel.port);
  expect(google.cloudRun.requests).toHaveLength(2);
  expect(await MATRIX["server half-closes and reads on"](next, LARGE)).toBeUndefined();
  void sendPattern(pair.client, LARGE, MEBIBYTE).then(() => pair.client.end());
  await upload.over;
  const received = { bytes: MEBIBYTE + LARGE, isCorrupt: false, ended: true, error: undefined };
  expect(upload.received()).toEqual(received);
  // The old tunnel ends with it.
  pair[Symbol.dispose]();
  await tunnel.tunnelServer.line("connection closed: ");
});
