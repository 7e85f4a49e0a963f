import { watch } from "chokidar";
import { basename, dirname, resolve } from "node:path";
import type { Clock } from "./clock.ts";

/** For file systems that tell no events, and for links that lead out of the watched folder. */
const POLL_MS = 10_000;
/** A write in place tells of itself several times; the last of a burst is the one to read after. */
const QUIET_MS = 100;
/** The link that Kubernetes swaps when a mounted Secret changes. */
const KUBERNETES_LINK = "..data";

/**
 * Calls `onMaybeChanged` soon after the file, or the link that leads to it, may have changed, and
 * every 10 seconds in any case: whoever is called compares. Returns the end of the watch.
 */
export function watchFile(path: string, clock: Clock, onMaybeChanged: () => void): () => void {
  const folder = dirname(resolve(path));
  const names = new Set([basename(path), KUBERNETES_LINK]);
  let cancelQuiet = () => {};
  let cancelPoll = () => {};

  function poll(): void {
    cancelPoll = clock.schedule(POLL_MS, () => {
      onMaybeChanged();
      poll();
    });
  }

  poll();
  const watcher = watch(folder, {
    depth: 0,
    followSymlinks: false,
    ignoreInitial: true,
    ignored: (each) => resolve(each) !== folder && !names.has(basename(each)),
  });
  const lookSoon = () => {
    cancelQuiet();
    cancelQuiet = clock.schedule(QUIET_MS, onMaybeChanged);
  };
  // What changed before the watch stood tells of no event.
  watcher.on("ready", lookSoon).on("all", lookSoon);
  // No inotify watch to be had, or the folder is gone: the poll goes on.
  watcher.on("error", () => {});
  return () => {
    cancelPoll();
    cancelQuiet();
    void watcher.close();
  };
}
