import { watch } from "chokidar";
import { basename, dirname, resolve } from "node:path";
import type { Clock } from "./clock.ts";

/** Finds changes on file systems that send no events, such as NFS. */
const POLL_MS = 10_000;
/** A write in place sends several events; the file is complete after the last of a burst. */
const QUIET_MS = 100;
/** The link that Kubernetes replaces when a mounted Secret changes. */
const KUBERNETES_LINK = "..data";

/**
 * Calls `onMaybeChanged` soon after the file, or the link that leads to it, may have changed, and
 * every 10 seconds in any case; the caller compares. Returns a function that ends the watch.
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
  // Changes made before the watch was ready send no event.
  watcher.on("ready", lookSoon).on("all", lookSoon);
  // Out of inotify watches, or the folder is gone: polling goes on.
  watcher.on("error", () => {});
  return () => {
    cancelPoll();
    cancelQuiet();
    void watcher.close();
  };
}
