import { describe, expect, it } from "vitest";
import { createMintSlots, type SlotRequest } from "../../../src/tokens/mint-slots.ts";
import { MintQueueFull } from "../../../src/tokens/not-attempted.ts";

/** Slots whose tasks the test ends one by one. */
function setUp(maxWaiting = 1000) {
  const slots = createMintSlots(maxWaiting);
  const started: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<string>>();

  /** Asks for a slot for a task with this name. */
  function run(name: string, request: Partial<SlotRequest> = {}) {
    const ending = Promise.withResolvers<string>();
    ends.set(name, ending);
    const task = () => {
      started.push(name);
      return ending.promise;
    };
    const { signal } = new AbortController();
    return slots.run(task, { isConfigured: false, caller: "", priority: 1, signal, ...request });
  }

  async function end(name: string): Promise<void> {
    ends.get(name)?.resolve(name);
    await settle();
  }

  const fail = (name: string, error: Error) => ends.get(name)?.reject(error);
  const names = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, index) => `${prefix}${index}`);
  return { run, end, fail, started, names };
}

/** Lets everything run that promises have made ready. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("slots", () => {
  it("are 8 for configured audiences, 6 for others and 2 for each caller", async () => {
    const { run, started, names } = setUp();
    for (const name of names("web", 5)) run(name, { caller: "web" });
    await settle();
    expect(started).toEqual(names("web", 2));
    for (const name of names("other", 10)) run(name);
    await settle();
    expect(started).toHaveLength(6);
    for (const name of names("configured", 10)) run(name, { isConfigured: true });
    await settle();
    expect(started.slice(6)).toEqual(names("configured", 2));
  });

  it("alternate between callers", async () => {
    const { run, end, started, names } = setUp();
    for (const caller of ["a", "b", "c"]) {
      for (const name of names(caller, 3)) run(name, { caller });
    }
    run("d0", { caller: "d" });
    await settle();
    await end("a0");
    await end("a1");
    expect(started.slice(6)).toEqual(["d0", "a2"]);
  });

  it("go to what waits for the highest priority", async () => {
    const { run, end, started, names } = setUp();
    for (const name of names("web", 2)) run(name, { caller: "web" });
    run("low", { caller: "web", priority: 0 });
    run("high", { caller: "web", priority: 1 });
    await settle();
    await end("web0");
    expect(started.at(-1)).toBe("high");
  });

  it("are refused if too many tasks of the caller wait", () => {
    const { run, names } = setUp(3);
    for (const name of names("web", 5)) run(name, { caller: "web" });
    expect(() => run("one more", { caller: "web" })).toThrow(MintQueueFull);
    expect(() => run("of another", { caller: "cart" })).not.toThrow();
  });
});

describe("a task that another caller joins", () => {
  it("runs once, at the turn of whichever caller comes first", async () => {
    const { run, end, started, names } = setUp();
    for (const name of names("web", 2)) run(name, { caller: "web" });
    const shared = run("shared", { caller: "web" });
    shared.join("cart");
    await settle();
    expect(started).toEqual(["web0", "web1", "shared"]);
    await end("shared");
    expect(await shared.result).toBe("shared");
    await end("web0");
    expect(started).toHaveLength(3);
  });

  it("is rejected once its signal ends the wait", async () => {
    const { run, started, names } = setUp();
    for (const caller of ["web", "cart"]) {
      for (const name of names(caller, 2)) run(name, { caller });
    }
    const waiting = new AbortController();
    const shared = run("shared", { caller: "web", signal: waiting.signal });
    shared.join("cart");
    const reason = new Error("too late");
    waiting.abort(reason);
    await expect(shared.result).rejects.toBe(reason);
    expect(started).not.toContain("shared");
  });

  it("fails with the failure of the task", async () => {
    const { run, fail } = setUp();
    const shared = run("shared", { caller: "web" });
    shared.join("cart");
    const failure = new Error("refused");
    fail("shared", failure);
    await expect(shared.result).rejects.toBe(failure);
  });
});
