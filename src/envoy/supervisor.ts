import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../system/clock.ts";
import { StartError } from "../system/errors.ts";
import { createEnvoyAdmin, type EnvoyAdmin } from "./admin.ts";
import type { EnvoyLogLine } from "./log-line.ts";
import { startEnvoyProcess, type EnvoyProcess, type EnvoyProcessOptions } from "./process.ts";
import type { Watchdog } from "./watchdog.ts";

export type EnvoyState = "starting" | "ready" | "restarting" | "draining" | "stopped";

export interface EnvoyEvents {
  readonly line: (line: EnvoyLogLine) => void;
  /** It ended by itself, and is started again after the pause. */
  readonly ended: (how: string, pauseMs: number) => void;
  /** It accepts connections again. */
  readonly restarted: () => void;
}

export interface SupervisorOptions extends Omit<EnvoyProcessOptions, "onLine"> {
  readonly clock: Clock;
  readonly events: EnvoyEvents;
}

/** What health and metrics show of a supervised Envoy. */
export interface EnvoyStatus {
  readonly state: () => EnvoyState;
  /** How often it was started again. */
  readonly restarts: () => number;
  /** Its metrics in Prometheus text. Rejects while it does not answer. */
  readonly metrics: () => Promise<string>;
}

/** An Envoy that is started again whenever it dies. */
export interface SupervisedEnvoy extends EnvoyStatus {
  /**
   * Starts it and resolves when it accepts connections. Rejects with a StartError, and with what
   * Envoy said last, if it ends before that; when it ends later it is started again, after a pause
   * that grows.
   */
  readonly start: () => Promise<void>;
  /**
   * Takes no new connection, waits until the open requests and TCP connections have ended, at most
   * `timeoutMs`, and ends Envoy.
   */
  readonly drain: (timeoutMs: number) => Promise<void>;
  /** Ends it now, with all that is open. */
  readonly kill: () => Promise<void>;
}

const POLL_MS = 25;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** An Envoy that ran this long before it died is started again without a longer pause. */
const STABLE_MS = 60_000;
/** How long idle HTTP connections stay open in a drain, to learn of it by their next response. */
const FAREWELL_MS = 1000;
/** After SIGTERM; Envoy ends within some milliseconds. */
const TERMINATE_MS = 2000;

/** Creates the supervisor of an Envoy, which is not started yet. */
export function superviseEnvoy(options: SupervisorOptions, watchdog: Watchdog): SupervisedEnvoy {
  const { clock, events } = options;
  const admin = createEnvoyAdmin(options.adminAddressFile);
  let lastError = "";
  // If Envoy ends before it is ready, the error that start() throws says it all.
  let held: EnvoyLogLine[] = [];
  let state: EnvoyState = "starting";
  let restarts = 0;
  let current: EnvoyProcess | undefined;
  const isOver = () => state === "draining" || state === "stopped";

  function startProcess(): EnvoyProcess {
    const onLine = (line: EnvoyLogLine) => {
      if (line.level === "error" || line.level === "fatal") lastError = line.text;
      if (state === "starting") held.push(line);
      else events.line(line);
    };
    current = startEnvoyProcess({ ...options, onLine });
    watchdog.guard(current.group);
    return current;
  }

  async function start(): Promise<void> {
    const started = startProcess();
    if (!(await becameReady(started, admin))) {
      watchdog.guard(undefined);
      const how = await started.ended;
      throw new StartError(`Envoy ended (${how})${lastError === "" ? "" : `: ${lastError}`}`);
    }
    if (state === "starting") state = "ready";
    for (const line of held) events.line(line);
    held = [];
    void keepRunning(started);
  }

  /** Waits for each end of Envoy, and starts the next. */
  async function keepRunning(first: EnvoyProcess): Promise<void> {
    let running = first;
    let pauseMs = FIRST_PAUSE_MS;
    while (true) {
      const startedMs = clock.now().monotonicMs;
      const how = await running.ended;
      watchdog.guard(undefined);
      if (isOver()) return;
      if (clock.now().monotonicMs - startedMs >= STABLE_MS) pauseMs = FIRST_PAUSE_MS;
      state = "restarting";
      events.ended(how, pauseMs);
      await sleep(pauseMs);
      if (isOver()) return;
      pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
      restarts += 1;
      running = startProcess();
      void noteRestart(running);
    }
  }

  async function noteRestart(started: EnvoyProcess): Promise<void> {
    if (!(await becameReady(started, admin)) || state !== "restarting") return;
    state = "ready";
    events.restarted();
  }

  async function drain(timeoutMs: number): Promise<void> {
    if (isOver() || current === undefined) return kill();
    state = "draining";
    const { ended, terminate } = current;
    const deadlineMs = clock.now().monotonicMs + timeoutMs;
    let hasEnded = false;
    void ended.then(() => (hasEnded = true));
    const leftMs = () => (hasEnded ? 0 : deadlineMs - clock.now().monotonicMs);
    const finished = finishRequests(admin, Math.min(FAREWELL_MS, timeoutMs), leftMs);
    await Promise.race([ended, finished, sleep(timeoutMs, undefined, { ref: false })]);
    terminate();
    await Promise.race([ended, sleep(TERMINATE_MS)]);
    await kill();
  }

  async function kill(): Promise<void> {
    state = "stopped";
    current?.kill();
    await current?.ended;
  }

  const metrics = () => admin.metrics();
  return { state: () => state, restarts: () => restarts, metrics, start, drain, kill };
}

/** Waits until Envoy accepts connections; resolves with false when it has ended instead. */
async function becameReady({ ended }: EnvoyProcess, admin: EnvoyAdmin): Promise<boolean> {
  while (!(await admin.isReady())) {
    const how = await Promise.race([ended, sleep(POLL_MS)]);
    if (how !== undefined) return false;
  }
  return true;
}

/**
 * Closes Envoy's listeners and waits until nothing is open. Idle connections of HTTP clients have a
 * moment for one more request, whose response closes them. A busy Envoy may not answer in time; what it has
 * open goes on, and it is asked again.
 */
async function finishRequests(
  admin: EnvoyAdmin,
  farewellMs: number,
  leftMs: () => number,
): Promise<void> {
  const farewellOverMs = leftMs() - farewellMs;
  let isDraining = false;
  while (leftMs() > 0) {
    try {
      if (!isDraining) await admin.drain();
      isDraining = true;
      const { open, connections } = await admin.activity();
      if (connections === 0 || (open === 0 && leftMs() <= farewellOverMs)) return;
    } catch {
      // Asked again below.
    }
    await sleep(POLL_MS);
  }
}
