import { expect, it } from "vitest";
import { compare, isMet, median, sentence, table } from "../../../bench/line.ts";

it.each([
  [[3, 1, 2], 2],
  [[4, 1, 3, 2], 2.5],
  [[7], 7],
  [[], Number.NaN],
])("the median of %j is %d", (figures, expected) => {
  expect(median(figures)).toBe(expected);
});

it("a comparison has the ratio of each round, and its goal applies to the median", () => {
  const line = compare("a against b, things/s", [10, 90, 30], [10, 100, 20], {
    unit: "things/s",
    goal: { atLeast: 1 },
  });
  expect(line.runs).toEqual([1, 0.9, 1.5]);
  expect(sentence(line)).toBe(
    "a against b, things/s: 1 (0.9 to 1.5; 30 to 20 things/s), goal at least 1: met",
  );
});

it("a goal is met at its bound", () => {
  expect(isMet([0.85], { atLeast: 0.85 })).toBe(true);
  expect(isMet([0.849], { atLeast: 0.85 })).toBe(false);
  expect(isMet([20], { atMost: 20 })).toBe(true);
  expect(isMet([20.1], { atMost: 20 })).toBe(false);
});

it("a table has one row per line with figures in their units", () => {
  const goal = { atMost: 20 };
  const lines = [
    { what: "longest block", runs: [30.04, 21.5, 1234.5], unit: "ms", goal },
    { what: "ratio", runs: [0.12345] },
  ];
  expect(table(lines)).toBe(`| what | median | lowest to highest | figures | goal |
| --- | --- | --- | --- | --- |
| longest block | 30 ms | 21.5 to 1235 |  | at most 20: missed |
| ratio | 0.123 | 0.123 to 0.123 |  |  |`);
});
