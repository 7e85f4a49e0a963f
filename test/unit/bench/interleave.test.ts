import { expect, it } from "vitest";
import { interleave } from "../../../bench/interleave.ts";

it("every second round runs in reverse order, and the first one does not count", async () => {
  const order: string[] = [];
  const measure = (name: string) => async () => order.push(name);
  const results = await interleave(
    { a: measure("a"), b: measure("b") },
    { rounds: 2, onStep: () => {} },
  );
  expect(order.join("")).toBe("baabba");
  expect(results).toEqual({ a: [3, 6], b: [4, 5] });
});
