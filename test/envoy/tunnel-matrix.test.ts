import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endRequests } from "../support/ended-requests.ts";
import { startTcpPairs, type TcpPairs } from "../support/tcp-pairs.ts";
import { startTunnel, type Tunnel } from "../support/tunnel.ts";
import { MATRIX, ROWS, type RowName } from "../support/tunnel-matrix.ts";

const MEBIBYTE = 1_048_576;
const SMALL = [20_000, MEBIBYTE];
const KINDS = [
  { client: "tunnel-client", streams: 1, sizes: SMALL },
  { client: "tunnel-client", streams: 20, sizes: [...SMALL, 64 * MEBIBYTE] },
  { client: "tunnel-client-push", streams: 1, sizes: SMALL },
  { client: "tunnel-client-push", streams: 20, sizes: SMALL },
] as const;

describe.each(KINDS)("A connection through $client with --streams-per-tunnel $streams", (kind) => {
  const parts = new AsyncDisposableStack();
  let pairs: TcpPairs;
  let tunnel: Tunnel;
  beforeAll(async () => {
    pairs = parts.use(await startTcpPairs());
    tunnel = parts.use(
      await startTunnel({
        client: kind.client,
        clientFlags: [`--streams-per-tunnel=${kind.streams}`],
        relay: true,
        targetPort: pairs.port,
      }),
    );
  });
  afterAll(() => parts.disposeAsync());

  const run = async (row: RowName, size: number) => {
    using pair = await pairs.connect(tunnel.port);
    // The pair is closed on return.
    return await MATRIX[row](pair, size);
  };

  it.each(ROWS)("loses nothing in silence: %s", { timeout: 120_000 }, async (row) => {
    for (const size of kind.sizes) {
      expect({ size, fault: await run(row, size) }).toEqual({ size, fault: undefined });
    }
  });

  it("is reset at both ends when Cloud Run ends the request, and a new one works", async () => {
    expect(await endRequests(pairs, tunnel)).toBeUndefined();
  });

  it("leaves no connection to the TCP server behind", async () => {
    for (const row of ROWS) await run(row, 20_000);
    await expect.poll(pairs.open, { timeout: 10_000 }).toBe(0);
  });
});
