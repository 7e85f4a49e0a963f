import { performance } from "node:perf_hooks";

export interface DemoFlags {
  readonly push: boolean;
  readonly keep: boolean;
}

export const print = (text: string) => void process.stdout.write(`${text}\n`);

/** Prints what has just been started or shown, with the time since the start. */
export function step(text: string): void {
  print(`${(performance.now() / 1000).toFixed(1).padStart(5)} s  ${text}`);
}

/** Prints commands to try and never resolves. */
export async function keepRunning(whatToTry: string): Promise<never> {
  print(`Everything is still running. Try:\n\n${whatToTry}\n\nCtrl-C stops everything.\n`);
  return new Promise<never>(() => {});
}
