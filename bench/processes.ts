import { readFile } from "node:fs/promises";

/** Linux counts CPU time in hundredths of a second for programs, whatever the kernel's own clock. */
const TICK_US = 10_000;

/** The user and system time that processes have used so far, in microseconds (proc_pid_stat(5)). */
async function readCpuUs(pids: readonly number[]): Promise<number> {
  const ticks = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8");
      // The second field is the program's name, in parentheses, and may contain spaces.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(fields[11]) + Number(fields[12]);
    }),
  );
  return ticks.reduce((sum, each) => sum + each, 0) * TICK_US;
}

/** Resolves with the result of a measurement and the CPU time that it took of the processes. */
export async function withCpu<T>(
  pids: readonly number[],
  measure: () => Promise<T>,
): Promise<{ readonly result: T; readonly usedUs: number }> {
  const beforeUs = await readCpuUs(pids);
  const result = await measure();
  return { result, usedUs: (await readCpuUs(pids)) - beforeUs };
}

/** The resident memory of processes, in bytes (proc_pid_status(5)). */
export async function readResidentBytes(pids: readonly number[]): Promise<number> {
  const sizes = await Promise.all(
    pids.map(async (pid) => {
      const [, kB] =
        /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8")) ?? [];
      return Number(kB) * 1024;
    }),
  );
  return sizes.reduce((sum, each) => sum + each, 0);
}
