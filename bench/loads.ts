import { connect, type Socket } from "node:net";
import { createHistogram } from "node:perf_hooks";
import autocannon from "autocannon";
import { readBanner } from "../test/support/tcp-service.ts";
import { withCpu } from "./processes.ts";
import { compare, type Goal, type Line } from "./line.ts";

const CONNECTIONS = 16;
const LOAD_SECONDS = 2;
const CONNECTIONS_TO_OPEN = 1000;
const CONCURRENT_OPENS = 64;
const ECHO_BYTES = 128 * 1_048_576;
const ROUND_TRIPS = 1000;
const ROUND_TRIP_BYTES = 64;

/** The results of a load of GETs over keep-alive connections, without pipelining. */
export interface RequestLoad {
  readonly perSecond: number;
  readonly p99Ms: number;
  /** What the processes used per request, in microseconds of user and system time. */
  readonly cpuUs: number;
}

/** Where to send requests, and the processes that serve them. */
export interface Target {
  readonly url: string;
  readonly pids: readonly number[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends load to a URL for two seconds. Throws an Error when a request fails. */
export async function loadRequests({ url, pids, headers = {} }: Target): Promise<RequestLoad> {
  // autocannon's own histogram has a resolution of one millisecond only.
  const latenciesUs = createHistogram();
  const { promise, resolve, reject } = Promise.withResolvers<autocannon.Result>();
  autocannon(
    { url, headers, connections: CONNECTIONS, duration: LOAD_SECONDS },
    (error, result) => {
      if (error) reject(error as Error);
      else resolve(result);
    },
  ).on("response", (_client, _status, _bytes, ms) => {
    latenciesUs.record(Math.max(1, Math.round(ms * 1000)));
  });
  const { result, usedUs } = await withCpu(pids, () => promise);
  const { errors, non2xx, requests, duration } = result;
  if (errors + non2xx > 0) {
    throw new Error(`${url}: ${errors} requests failed and ${non2xx} got another status than 2xx`);
  }
  return {
    perSecond: requests.total / duration,
    p99Ms: latenciesUs.percentile(99) / 1000,
    cpuUs: usedUs / requests.total,
  };
}

/** Compares two loads: what a request costs, and how many per second there were. */
export function compareLoads(
  what: string,
  of: readonly RequestLoad[],
  to: readonly RequestLoad[],
  { cpu, rate }: { readonly cpu?: Goal | undefined; readonly rate?: Goal | undefined } = {},
): readonly Line[] {
  const figures = (loads: readonly RequestLoad[], name: "cpuUs" | "perSecond") =>
    loads.map((load) => load[name]);
  return [
    compare(`${what}, CPU per request`, figures(of, "cpuUs"), figures(to, "cpuUs"), {
      unit: "µs",
      ...(cpu && { goal: cpu }),
    }),
    compare(`${what}, requests/s`, figures(of, "perSecond"), figures(to, "perSecond"), {
      unit: "requests/s",
      ...(rate && { goal: rate }),
    }),
  ];
}

/** The result of a load of a tunnel. */
export interface TunnelLoad {
  readonly figure: number;
  /** How many megabytes, round trips or connections there were. */
  readonly count: number;
}

/** Measures the megabytes per second echoed through one connection. */
export async function echoRate(port: number): Promise<TunnelLoad> {
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
  const count = ECHO_BYTES / 1e6;
  return { figure: count / seconds, count };
}

/** Measures the microseconds of a small message's round trip through one connection. */
export async function roundTripUs(port: number): Promise<TunnelLoad> {
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
  return { figure: (totalMs * 1000) / ROUND_TRIPS, count: ROUND_TRIPS };
}

/** Measures how many connections per second can be opened, each until its first line arrives. */
export async function connectionRate(port: number): Promise<TunnelLoad> {
  const startedMs = performance.now();
  let left = CONNECTIONS_TO_OPEN;
  const openAll = async () => {
    while (left-- > 0) await readBanner(port, { timeoutMs: 10_000 });
  };
  await Promise.all(Array.from({ length: CONCURRENT_OPENS }, openAll));
  const figure = CONNECTIONS_TO_OPEN / ((performance.now() - startedMs) / 1000);
  return { figure, count: CONNECTIONS_TO_OPEN };
}

interface IdleConnections extends Disposable {
  readonly count: number;
}

/** Opens so many connections, waits for the greeting of each and leaves them open. */
export async function openIdle(port: number, count: number): Promise<IdleConnections> {
  const sockets: Socket[] = [];
  let left = count;
  const openAll = async () => {
    while (left-- > 0) sockets.push(await openTunnel(port));
  };
  await Promise.all(Array.from({ length: CONCURRENT_OPENS }, openAll));
  return {
    count: sockets.length,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Opens a tunnel and waits for its greeting. */
async function openTunnel(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await receive(socket, 1);
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
