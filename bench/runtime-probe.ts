// Loaded into a server before its own code: logs a line of measurements on each SIGUSR2.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { memoryUsage } from "node:process";
import { setTimeout } from "node:timers/promises";

/** A line that a probed server logs. */
export interface Reading {
  readonly probe: number;
  /** The size of the heap after a garbage collection. */
  readonly heapBytes: number;
  readonly residentBytes: number;
  /** The longest block of the event loop since the last reading, accurate to 1 ms. */
  readonly longestBlockMs: number;
}

const RESOLUTION_MS = 1;
/** The pause for closed connections to disappear, and between the two garbage collections. */
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
  // Don't count the blocks caused by the garbage collections themselves.
  await setTimeout(SETTLE_MS);
  delay.reset();
  readings += 1;
  const memory = { heapBytes: heapUsed + external, residentBytes: rss };
  const reading: Reading = { probe: readings, ...memory, longestBlockMs };
  process.stdout.write(`${JSON.stringify(reading)}\n`);
}
