import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createHistogram } from "node:perf_hooks";
import autocannon from "autocannon";
import { readBanner } from "../test/support/tcp-service.ts";

const CONNECTIONS = 16;
const LOAD_SECONDS = 2;
const TUNNELS = 300;
const CONCURRENT_TUNNELS = 8;
const ECHO_BYTES = 128 * 1_048_576;
const ROUND_TRIPS = 1000;
const ROUND_TRIP_BYTES = 64;

/** The results of a load of GETs over keep-alive connections, without pipelining. */
export interface RequestLoad {
  readonly perSecond: number;
  readonly p99Ms: number;
}

/** Sends load to a URL for two seconds. Throws an Error when a request fails. */
export async function loadRequests(url: string): Promise<RequestLoad> {
  // autocannon's own histogram has a resolution of one millisecond only.
  const latenciesUs = createHistogram();
  const { promise, resolve, reject } = Promise.withResolvers<autocannon.Result>();
  autocannon({ url, connections: CONNECTIONS, duration: LOAD_SECONDS }, (error, result) => {
    if (error) reject(error as Error);
    else resolve(result);
  }).on("response", (_client, _status, _bytes, ms) => {
    latenciesUs.record(Math.max(1, Math.round(ms * 1000)));
  });
  const { errors, non2xx, requests, duration } = await promise;
  if (errors + non2xx > 0) {
    throw new Error(`${url}: ${errors} requests failed and ${non2xx} got another status than 2xx`);
  }
  return { perSecond: requests.total / duration, p99Ms: latenciesUs.percentile(99) / 1000 };
}

/** Measures the megabytes per second echoed through one tunnel. */
export async function echoRate(port: number): Promise<number> {
  const socket = await openTunnel(port);
  const chunk = Buffer.alloc(262_144, "x");
  const startedMs = performance.now();
  let sent = 0;
  const fill = () => {
    while (sent < ECHO_BYTES) {
      sent += chunk.length;
      if (!socket.write(chunk)) return;
    }
  };
  socket.on("drain", fill);
  const echoed = receive(socket, ECHO_BYTES);
  fill();
  await echoed;
  const seconds = (performance.now() - startedMs) / 1000;
  socket.destroy();
  return ECHO_BYTES / 1e6 / seconds;
}

/** Measures the microseconds of a small message's round trip through one tunnel. */
export async function roundTripUs(port: number): Promise<number> {
  const socket = await openTunnel(port);
  const message = Buffer.alloc(ROUND_TRIP_BYTES, "x");
  const startedMs = performance.now();
  for (let trip = 0; trip < ROUND_TRIPS; trip++) {
    const echoed = receive(socket, ROUND_TRIP_BYTES);
    socket.write(message);
    await echoed;
  }
  const totalMs = performance.now() - startedMs;
  socket.destroy();
  return (totalMs * 1000) / ROUND_TRIPS;
}

/** Measures how many tunnels per second can be opened, each until its first line arrives. */
export async function tunnelRate(port: number): Promise<number> {
  const startedMs = performance.now();
  let left = TUNNELS;
  const openAll = async () => {
    while (left-- > 0) await readBanner(port, { timeoutMs: 10_000 });
  };
  await Promise.all(Array.from({ length: CONCURRENT_TUNNELS }, openAll));
  return TUNNELS / ((performance.now() - startedMs) / 1000);
}

/** Opens a tunnel and waits for its greeting. */
async function openTunnel(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "data");
  return socket;
}

/** Resolves when `bytes` further bytes have arrived; rejects if the connection ends first. */
async function receive(socket: Socket, bytes: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let received = 0;
  const onData = (data: Buffer) => {
    received += data.length;
    if (received >= bytes) resolve();
  };
  const onClose = () => reject(new Error("the tunnel ended"));
  socket.on("data", onData).on("error", reject).on("close", onClose);
  try {
    await promise;
  } finally {
    socket.off("data", onData).off("error", reject).off("close", onClose);
  }
}
