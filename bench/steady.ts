import { createHistogram } from "node:perf_hooks";
import { openConnection, type Answer, type Connection, type TlsTarget } from "./tls-target.ts";

const CONNECTIONS = 16;

/** The latencies of a steady load. */
export interface SteadyLoad {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A caller that sends checks at an even rate. */
export interface SteadyCaller extends Disposable {
  /**
   * Sends checks for some seconds, each at its time while fewer than 16 are open. Throws what
   * `verify` throws of an answer; `sentMs` is when the check was sent, by `performance.now()`.
   */
  readonly load: (
    options: { readonly perSecond: number; readonly seconds: number },
    verify?: (answer: Answer, sentMs: number) => void,
  ) => Promise<SteadyLoad>;
}

/** Opens the caller's 16 connections. */
export async function openSteadyCaller(target: TlsTarget): Promise<SteadyCaller> {
  const connections: Connection[] = [];
  while (connections.length < CONNECTIONS) connections.push(await openConnection(target));
  return {
    load: async ({ perSecond, seconds }, verify = requireToken) => {
      const latenciesUs = createHistogram();
      const startMs = performance.now();
      const everyMs = (CONNECTIONS * 1000) / perSecond;
      const work = async ({ check }: Connection, index: number) => {
        let dueMs = startMs + (index * everyMs) / CONNECTIONS;
        while (dueMs < startMs + seconds * 1000) {
          await waitUntil(dueMs);
          const sentMs = performance.now();
          const answer = await check();
          latenciesUs.record(Math.max(1, Math.round((performance.now() - sentMs) * 1000)));
          verify(answer, sentMs);
          dueMs = Math.max(dueMs + everyMs, performance.now());
        }
      };
      await Promise.all(connections.map(work));
      const { count } = latenciesUs;
      const percentileMs = (percentile: number) => latenciesUs.percentile(percentile) / 1000;
      return { count, p50Ms: percentileMs(50), p99Ms: percentileMs(99) };
    },
    [Symbol.dispose]: () => {
      for (const connection of connections) connection[Symbol.dispose]();
    },
  };
}

function requireToken({ status }: Answer): void {
  if (status !== 200) throw new Error(`a check was answered with ${status}`);
}

async function waitUntil(dueMs: number): Promise<void> {
  const leftMs = dueMs - performance.now();
  if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
}
