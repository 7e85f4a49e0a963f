import { once } from "node:events";
import { connect } from "node:net";
import autocannon from "autocannon";
import { readBanner } from "../test/support/tcp-service.ts";

const ROUNDS = 5;
const CONNECTIONS = 16;
const LOAD_SECONDS = 3;
const TUNNELS = 300;
const TUNNELS_AT_ONCE = 8;
const ECHO_BYTES = 64 * 1_048_576;

/** The median of each, after a turn that does not count. */
export async function inTurns<K extends string>(
  measures: Readonly<Record<K, () => Promise<number>>>,
): Promise<Readonly<Record<K, number>>> {
  const names = Object.keys(measures) as K[];
  const results = new Map(names.map((name) => [name, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const name of names) {
      const result = await measures[name]();
      if (round > 0) results.get(name)?.push(result);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(results.get(name) ?? [])])) as Record<
    K,
    number
  >;
}

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN;
}

/** Requests a second. Throws an Error when one fails. */
export async function requestRate(port: number): Promise<number> {
  const url = `http://127.0.0.1:${port}/`;
  const result = await autocannon({ url, connections: CONNECTIONS, duration: LOAD_SECONDS });
  const { errors, non2xx, requests, duration } = result;
  if (errors + non2xx > 0) throw new Error(`${errors} errors and ${non2xx} refusals at ${url}`);
  return requests.total / duration;
}

/** Megabytes a second through one tunnel, there and back at once. */
export async function echoRate(port: number): Promise<number> {
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "data");
  const chunk = Buffer.alloc(262_144, "x");
  const startedMs = performance.now();
  let sent = 0;
  let received = 0;
  const done = Promise.withResolvers<void>();
  socket.on("error", done.reject);
  socket.on("close", () => done.reject(new Error("the tunnel ended")));
  socket.on("data", (data) => {
    received += data.length;
    if (received >= ECHO_BYTES) done.resolve();
  });
  const fill = () => {
    while (sent < ECHO_BYTES) {
      sent += chunk.length;
      if (!socket.write(chunk)) return;
    }
  };
  socket.on("drain", fill);
  fill();
  await done.promise;
  const seconds = (performance.now() - startedMs) / 1000;
  socket.destroy();
  return ECHO_BYTES / 1e6 / seconds;
}

/** New tunnels a second, each open up to its first line. */
export async function tunnelRate(port: number): Promise<number> {
  const startedMs = performance.now();
  let left = TUNNELS;
  const openAll = async () => {
    while (left-- > 0) await readBanner(port, { timeoutMs: 10_000 });
  };
  await Promise.all(Array.from({ length: TUNNELS_AT_ONCE }, openAll));
  return TUNNELS / ((performance.now() - startedMs) / 1000);
}
