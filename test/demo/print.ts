import { performance } from "node:perf_hooks";

export interface DemoFlags {
  readonly push: boolean;
  readonly keep: boolean;
}

export const print = (text: string) => void process.stdout.write(`${text}\n`);

/** A line about something that has just come up or been shown, with the time since the start. */
export function step(text: string): void {
  print(`${(performance.now() / 1000).toFixed(1).padStart(5)} s  ${text}`);
}

/** Prints what to try, and never ends. */
export async function keepRunning(whatToTry: string): Promise<never> {
  print(`Everything is still running. Try:\n\n${whatToTry}\n\nCtrl-C ends it all.\n`);
  return new Promise<never>(() => {});
}
