import PQueue from "p-queue";
import { MintQueueFull } from "./not-attempted.ts";

/** Who gets a slot, and before whom. */
export interface SlotRequest {
  /** Configured audiences go before all others and always find a place. */
  readonly isConfigured: boolean;
  /** Empty if callers are not told apart. */
  readonly caller: string;
  /** Higher ones go first. */
  readonly priority: number;
  /** Ends the wait. */
  readonly signal: AbortSignal;
}

/** A task that runs or waits for its turn. */
export interface Slot<T> {
  readonly result: Promise<T>;
  /** Lets the task run at the turn of this caller, too, if that comes first. */
  readonly join: (caller: string) => void;
}

export interface MintSlots {
  /** Whether a further task of the caller may wait. */
  readonly hasRoom: (caller: string) => boolean;
  /** Runs a task when it is its turn. Throws MintQueueFull. */
  readonly run: <T>(task: () => Promise<T>, request: SlotRequest) => Slot<T>;
}

/** Enough to warm many audiences soon, few enough for the token endpoint's quotas. */
const MAX_CONCURRENT_MINTS = 8;
/** A flood of other audiences leaves the rest to the configured ones. */
const MAX_CONCURRENT_OTHERS = 6;
/** If callers are told apart, a flood of one leaves the rest to the other callers. */
const MAX_CONCURRENT_PER_CALLER = 2;
/** More would exceed the mint timeout while they wait, and that all in the same turn. */
const MAX_WAITING_PER_CALLER = 200;
/** More than any other request's. */
const CONFIGURED_PRIORITY = 100;

/**
 * Creates the slots. At most `maxWaiting` tasks for audiences that are not configured may wait, and
 * of each caller that is told apart at most 200.
 */
export function createMintSlots(maxWaiting: number): MintSlots {
  const slots = new PQueue({ concurrency: MAX_CONCURRENT_MINTS });
  const others = new PQueue({ concurrency: MAX_CONCURRENT_OTHERS });
  const byCaller = new Map<string, PQueue>();

  function queueOf(caller: string): PQueue {
    const queue = byCaller.get(caller) ?? new PQueue({ concurrency: MAX_CONCURRENT_PER_CALLER });
    byCaller.set(caller, queue);
    return queue;
  }

  function hasRoom(caller: string): boolean {
    if (caller === "") return others.size < maxWaiting;
    return queueOf(caller).size < Math.min(maxWaiting, MAX_WAITING_PER_CALLER);
  }

  function run<T>(task: () => Promise<T>, request: SlotRequest): Slot<T> {
    const { isConfigured, caller, priority, signal } = request;
    const how = { signal, priority };
    if (isConfigured) {
      const result = slots.add(task, { signal, priority: CONFIGURED_PRIORITY + priority });
      return { result, join: () => {} };
    }
    if (!hasRoom(caller)) throw new MintQueueFull(caller);
    const inSlot = () => slots.add(task, how);
    if (caller !== "") return runForCallers(() => others.add(inSlot, how), request);
    return { result: others.add(inSlot, how), join: () => {} };
  }

  /** Runs a task once, at the turn of whichever of its callers comes first. */
  function runForCallers<T>(task: () => Promise<T>, request: SlotRequest): Slot<T> {
    const { caller, priority, signal } = request;
    const { promise: result, resolve, reject } = Promise.withResolvers<T>();
    const callers = new Set<string>();
    let hasStarted = false;

    async function start(): Promise<void> {
      if (hasStarted) return;
      hasStarted = true;
      const running = task();
      resolve(running);
      await running;
    }

    function wait(name: string): void {
      callers.add(name);
      queueOf(name).add(start, { priority, signal }).catch(reject);
    }

    wait(caller);
    return {
      result,
      join: (name) => {
        if (!hasStarted && name !== "" && !callers.has(name) && hasRoom(name)) wait(name);
      },
    };
  }

  return { hasRoom, run };
}
