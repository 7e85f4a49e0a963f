// Loaded into a server ahead of its own code: at each SIGUSR2 it logs a line of what it knows.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { memoryUsage } from "node:process";

/** What a probed server logs. */
export interface Reading {
  readonly probe: number;
  /** Of the heap, after a garbage collection. */
  readonly heapBytes: number;
  readonly residentBytes: number;
  /** How long the event loop stood still at most since the last reading, give or take 1 ms. */
  readonly longestBlockMs: number;
}

const RESOLUTION_MS = 1;
/** The collection itself is a block that is not to be counted. */
const SETTLE_MS = 20;

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let readings = 0;
delay.enable();

process.on("SIGUSR2", () => {
  const longestBlockMs = Math.max(0, delay.max / 1e6 - RESOLUTION_MS);
  globalThis.gc?.();
  const { heapUsed, external, rss } = memoryUsage();
  setTimeout(() => {
    delay.reset();
    readings += 1;
    const memory = { heapBytes: heapUsed + external, residentBytes: rss };
    const reading: Reading = { probe: readings, ...memory, longestBlockMs };
    process.stdout.write(`${JSON.stringify(reading)}\n`);
  }, SETTLE_MS);
});
