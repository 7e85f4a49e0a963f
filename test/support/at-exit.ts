const tasks = new Set<() => void>();
let listening = false;

/**
 * Runs a task when this process exits, however early; returns what calls it off. For what must not
 * be left behind: child processes, temporary folders.
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
