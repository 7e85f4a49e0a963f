import { createHistogram } from "node:perf_hooks";
import autocannon from "autocannon";
import { withCpu } from "./processes.ts";
import { compare, type Goal, type Line } from "./line.ts";

const CONNECTIONS = 16;
const LOAD_SECONDS = 2;

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
