import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { text } from "node:stream/consumers";

/** Envoy's admin endpoint, which every method asks over a new connection. */
export interface EnvoyAdmin {
  /** Whether every listener accepts connections, with all that it waits for at the start. */
  readonly isReady: () => Promise<boolean>;
  /** Closes the listeners; each open connection ends after the request that it has, or its next. */
  readonly drain: () => Promise<void>;
  /** What its clients have under way. */
  readonly activity: () => Promise<EnvoyActivity>;
  /** Prometheus text of all of Envoy's metrics. */
  readonly metrics: () => Promise<string>;
}

export interface EnvoyActivity {
  /** HTTP requests and TCP connections, and in a tunnel each layer of them. */
  readonly open: number;
  /** Connections of any kind, those without a request included. */
  readonly connections: number;
}

const TIMEOUT_MS = 2000;

/** Creates a client of the admin endpoint whose address Envoy writes into a file at its start. */
export function createEnvoyAdmin(addressFile: string): EnvoyAdmin {
  async function ask(method: "GET" | "POST", path: string): Promise<Answer> {
    return send(parseAdminAddress(await readFile(addressFile, "utf8")), method, path);
  }

  async function read(path: string): Promise<string> {
    const { status, body } = await ask("GET", path);
    if (status !== 200) throw new Error(`Envoy's admin endpoint answered ${status}`);
    return body;
  }

  return {
    isReady: async () => {
      // There is no file before Envoy has an admin endpoint.
      const answer = await ask("GET", "/ready").catch(() => undefined);
      return answer?.status === 200;
    },
    drain: async () => {
      // From then on a response says that its connection ends.
      await ask("POST", "/healthcheck/fail");
      await ask("POST", "/drain_listeners");
    },
    activity: async () => parseActivity(await read(`/stats?filter=${ACTIVITY}`)),
    metrics: () => read("/stats/prometheus"),
  };
}

type AdminAddress = { readonly socketPath: string } | { readonly host: string; port: number };

/** Reads what Envoy writes: a socket's path, or ADDRESS:PORT. */
function parseAdminAddress(content: string): AdminAddress {
  const [, host = "", port] = /^\[?([0-9a-f.:]+?)\]?:(\d+)$/.exec(content.trim()) ?? [];
  return port === undefined ? { socketPath: content.trim() } : { host, port: Number(port) };
}

const ACTIVITY = encodeURIComponent("^(http|listener)\\..*\\.downstream_(rq|cx)_active$");
const STAT = /^(http|listener)\.(.+)\.downstream_(rq|cx)_active: (\d+)$/gm;

/**
 * Counts from Envoy's gauges. An HTTP connection is as open as its requests; any other connection
 * is open itself, and one that passes internal listeners counts in each.
 */
export function parseActivity(stats: string): EnvoyActivity {
  let connections = 0;
  let httpConnections = 0;
  let requests = 0;
  for (const [, kind, name = "", of, digits] of stats.matchAll(STAT)) {
    const isOwn = name === "admin" || name.startsWith("admin.");
    const isPart = /\.(worker_\d+|main_thread)$/.test(name);
    if (isOwn || isPart) continue;
    const count = Number(digits);
    if (kind === "listener") connections += count;
    else if (of === "cx") httpConnections += count;
    else requests += count;
  }
  return { open: requests + connections - httpConnections, connections };
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function send(address: AdminAddress, method: string, path: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  request({ ...address, method, path, signal, agent: false }, (response) => {
    text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
  })
    .on("error", reject)
    .end();
  return promise;
}
