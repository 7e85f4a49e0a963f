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

/** A command, and what it shows. */
export type CommandToTry = readonly [command: string, comment: string];

/** Prints commands to try, then those for the far end's stand-ins, and never resolves. */
export async function keepRunning(
  commands: readonly CommandToTry[],
  farEnd: readonly (readonly string[])[],
): Promise<never> {
  const width = Math.max(...commands.map(([command]) => command.length));
  const lines = commands.map(([command, what]) => `  ${command.padEnd(width)}  # ${what}`);
  const own = farEnd.map((words) => `  ${words.join(" \\\n    ")}`);
  print(`Everything is still running. In another terminal, try:\n\n${lines.join("\n")}\n`);
  print(`Or run the near end yourself, with these stand-ins for Google:\n\n${own.join("\n")}\n`);
  print("Ctrl-C stops everything.\n");
  return new Promise<never>(() => {});
}
