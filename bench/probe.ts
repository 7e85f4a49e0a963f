// Loaded into a server ahead of its own code: at each SIGUSR2 it logs a line of what it knows.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { memoryUsage } from "node:process";
import { setTimeout } from "node:timers/promises";

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
/** Until closed connections have gone; also between two collections, the second for the leftovers. */
const SETTLE_MS = 200;

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let readings = 0;
delay.enable();

process.on("SIGUSR2", () => void read());

async function read(): Promise<void> {
  const longestBlockMs = Math.max(0, delay.max / 1e6 - RESOLUTION_MS);
  await setTimeout(SETTLE_MS);
  globalThis.gc?.();
  await setTimeout(SETTLE_MS);
  globalThis.gc?.();
  const { heapUsed, external, rss } = memoryUsage();
  // The collections themselves are blocks that are not to be counted.
  await setTimeout(SETTLE_MS);
  delay.reset();
  readings += 1;
  const memory = { heapBytes: heapUsed + external, residentBytes: rss };
  const reading: Reading = { probe: readings, ...memory, longestBlockMs };
  process.stdout.write(`${JSON.stringify(reading)}\n`);
}
