const tasks = new Set<() => void>();
let listening = false;

/**
 * Runs a task when this process exits, however early, so that no child process or temporary folder
 * is left behind. Returns a function that cancels it.
 */
export function atExit(task: () => void): () => void {
  if (!listening) {
    process.once("exit", () => {
      for (const each of tasks) each();
    });
    listening = true;
  }
  tasks.add(task);
  return () => void tasks.delete(task);
}
