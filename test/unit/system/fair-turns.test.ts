import { describe, expect, it } from "vitest";
import { createFairTurns } from "../../../src/system/fair-turns.ts";

const PER_TURN = 8;

/** Turns that begin when the test says so. */
function setUp() {
  const starts: (() => void)[] = [];
  const turns = createFairTurns((start) => void starts.push(start));
  const order: string[] = [];

  /** Sends requests of a caller; returns how many go on immediately. */
  function flood(caller: string, count: number): number {
    let immediate = 0;
    for (let index = 0; index < count; index++) {
      const turn = turns.take(caller);
      if (turn === undefined) immediate += 1;
      else void turn.then(() => order.push(`${caller} ${index}`));
    }
    return immediate;
  }

  /** Lets the next turn begin; returns how many waiting requests go on in it. */
  async function nextTurn(): Promise<number> {
    const before = order.length;
    for (const start of starts.splice(0)) start();
    await new Promise((resolve) => setImmediate(resolve));
    return order.length - before;
  }

  return { ...turns, starts, order, flood, nextTurn };
}

describe("a caller's requests", () => {
  it("go on immediately up to a limit per turn, the rest in later turns and in order", async () => {
    const { order, flood, nextTurn } = setUp();
    expect(flood("web", 2 * PER_TURN + 3)).toBe(PER_TURN);
    expect(await nextTurn()).toBe(PER_TURN);
    expect(await nextTurn()).toBe(3);
    const rest = Array.from({ length: PER_TURN + 3 }, (_, index) => `web ${PER_TURN + index}`);
    expect(order).toEqual(rest);
  });

  it("do not overtake those that wait", async () => {
    const { order, flood, nextTurn } = setUp();
    flood("web", 3 * PER_TURN);
    await nextTurn();
    expect(flood("web", 1)).toBe(0);
    await nextTurn();
    await nextTurn();
    expect(order.at(-1)).toBe("web 0");
  });

  it("go on immediately again once none waits", async () => {
    const { flood, nextTurn } = setUp();
    flood("web", PER_TURN);
    expect(flood("web", 1)).toBe(0);
    await nextTurn();
    expect(flood("web", PER_TURN), "one of this turn's has been used").toBe(PER_TURN - 1);
  });

  it("go on immediately, whatever flood of another caller waits", async () => {
    const { flood, nextTurn } = setUp();
    flood("flood", 1000);
    expect(flood("web", PER_TURN)).toBe(PER_TURN);
    expect(await nextTurn()).toBe(PER_TURN);
    expect(flood("web", PER_TURN)).toBe(PER_TURN);
  });
});

it("a caller of which 5,000 requests wait is full until fewer do; another is not", async () => {
  const { isFull, flood, nextTurn } = setUp();
  flood("flood", PER_TURN + 4999);
  expect(isFull("flood")).toBe(false);
  flood("flood", 1);
  expect(isFull("flood")).toBe(true);
  expect(isFull("web")).toBe(false);
  await nextTurn();
  expect(isFull("flood")).toBe(false);
});

it("turns are counted only while there are requests", async () => {
  const { starts, flood, nextTurn } = setUp();
  expect(starts).toHaveLength(0);
  flood("web", PER_TURN + 1);
  expect(starts).toHaveLength(1);
  while (starts.length > 0) await nextTurn();
  expect(flood("web", PER_TURN)).toBe(PER_TURN);
  expect(starts).toHaveLength(1);
});
