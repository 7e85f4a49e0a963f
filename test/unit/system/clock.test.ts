import { describe, expect, it } from "vitest";
import {
  createSleepClock,
  elapsedMs,
  longestElapsedMs,
  systemClock,
} from "../../../src/system/clock.ts";

const HOUR_MS = 3600_000;

/** The clocks of a machine that a test lets work, sleep or be set. */
function createMachine() {
  let wallMs = 1_800_000_000_000;
  let awakeMs = 5000;
  let asleepMs = 70_000;
  let reads = 0;
  const now = createSleepClock({
    wallMs: () => wallMs,
    awakeMs: () => awakeMs,
    // As coarse as /proc/uptime.
    uptimeMs: () => {
      reads += 1;
      return Math.floor((awakeMs + asleepMs) / 10) * 10;
    },
  });
  return {
    now,
    reads: () => reads,
    work: (ms: number) => {
      wallMs += ms;
      awakeMs += ms;
    },
    sleep: (ms: number) => {
      wallMs += ms;
      asleepMs += ms;
    },
    setWall: (ms: number) => {
      wallMs += ms;
    },
  };
}

describe("createSleepClock", () => {
  it("counts the time awake exactly, whatever the resolution of the uptime", () => {
    const machine = createMachine();
    const start = machine.now();
    for (let step = 1; step <= 50; step++) {
      machine.work(333.3);
      expect(elapsedMs(start, machine.now())).toBeCloseTo(step * 333.3, 6);
    }
  });

  it("counts the time asleep immediately after the machine wakes up", () => {
    const machine = createMachine();
    const start = machine.now();
    machine.sleep(HOUR_MS);
    const passedMs = elapsedMs(start, machine.now());
    expect(Math.abs(passedMs - HOUR_MS)).toBeLessThanOrEqual(10);
    machine.sleep(HOUR_MS);
    machine.work(1);
    expect(Math.abs(elapsedMs(start, machine.now()) - 2 * HOUR_MS)).toBeLessThanOrEqual(20);
  });

  it("counts the time asleep a second later if the wall clock does not show it", () => {
    const machine = createMachine();
    const start = machine.now();
    machine.sleep(HOUR_MS);
    machine.setWall(-HOUR_MS);
    machine.work(1000);
    expect(elapsedMs(start, machine.now())).toBeGreaterThanOrEqual(HOUR_MS);
  });

  it.each([2 * HOUR_MS, -2 * HOUR_MS])("does not follow a wall clock set by %i ms", (stepMs) => {
    const machine = createMachine();
    const start = machine.now();
    machine.setWall(stepMs);
    machine.work(1500);
    expect(elapsedMs(start, machine.now())).toBe(1500);
  });

  it("reads the uptime at most once a second", () => {
    const machine = createMachine();
    const before = machine.reads();
    for (let step = 0; step < 1000; step++) {
      machine.work(10);
      machine.now();
    }
    expect(machine.reads() - before).toBe(10);
  });
});

describe("longestElapsedMs", () => {
  const then = { wallMs: 1000, monotonicMs: 1000 };

  it.each([
    [1500, 1200, 500],
    [1200, 1500, 500],
    [0, 1300, 300],
    [0, 1000, 0],
  ])("at %i by the wall clock and %i by the monotonic one is %i", (wallMs, monotonicMs, ms) => {
    expect(longestElapsedMs(then, { wallMs, monotonicMs })).toBe(ms);
  });
});

describe("systemClock", () => {
  it("goes forward", () => {
    const first = systemClock.now();
    const second = systemClock.now();
    expect(elapsedMs(first, second)).toBeGreaterThanOrEqual(0);
    expect(Math.abs(second.wallMs - Date.now())).toBeLessThan(60_000);
  });

  it("fires a timer, and not a cancelled one", async () => {
    const fired: string[] = [];
    systemClock.schedule(0, () => fired.push("cancelled"))();
    await new Promise<void>((resolve) => {
      systemClock.schedule(1, () => {
        fired.push("kept");
        resolve();
      });
    });
    expect(fired).toEqual(["kept"]);
  });
});
