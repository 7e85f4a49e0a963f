import { receive, sendPattern } from "./byte-pattern.ts";
import type { TcpPairs } from "./tcp-pairs.ts";
import type { Tunnel } from "./tunnel.ts";
import { MATRIX } from "./tunnel-matrix.ts";

const ENDLESS = 1e12;

/**
 * Cloud Run ends the requests of a download and an upload: both ends of both see an error, and a new
 * connection works. Resolves with what went wrong.
 */
export async function endRequests(pairs: TcpPairs, tunnel: Tunnel): Promise<string | undefined> {
  using download = await pairs.connect(tunnel.port);
  using upload = await pairs.connect(tunnel.port);
  const ends = [download.client, download.server, upload.client, upload.server].map(receive);
  for (const end of ends) end.read();
  void sendPattern(download.server, ENDLESS);
  void sendPattern(upload.client, ENDLESS);
  await Promise.all([ends[0]?.has(1_048_576), ends[3]?.has(1_048_576)]);
  tunnel.google.cloudRun.endRequests();
  await Promise.all(ends.map(({ closed }) => closed));
  const silent = ends.filter((end) => end.received().error === undefined).length;
  if (silent > 0) return `${silent} of 4 ends saw no error`;
  using next = await pairs.connect(tunnel.port);
  // The pair is closed on return.
  return await MATRIX["client half-closes and reads"](next, 20_000);
}
