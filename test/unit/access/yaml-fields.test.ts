import { describe, expect, it } from "vitest";
import { parseDocument } from "yaml";
import {
  formatPath,
  offsetOf,
  readFields,
  readList,
  readText,
  readTexts,
  type Path,
} from "../../../src/access/yaml-fields.ts";

/** What is reported while something is read. */
function faultsOf(read: (report: (path: Path, rule: string) => void) => unknown) {
  const faults: string[] = [];
  const value = read((path, rule) => faults.push(`${formatPath(path)}: ${rule}`));
  return { value, faults };
}

describe("a field that is not what it must be", () => {
  it("is reported, and something empty is read in its place", () => {
    expect(faultsOf((report) => readFields([], ["a"], ["b"], report))).toEqual({
      value: {},
      faults: ["a: must be a mapping with b"],
    });
    expect(faultsOf((report) => readFields({ c: 1 }, ["a"], ["b"], report)).faults).toEqual([
      "a.c: is unknown; known are b",
    ]);
    expect(faultsOf((report) => readList([], ["a"], report))).toEqual({
      value: [],
      faults: ["a: must be a list with at least one entry"],
    });
    expect(faultsOf((report) => readText(7, ["a"], report, String))).toEqual({
      value: undefined,
      faults: ["a: must be a text"],
    });
  });

  it("leaves the other entries of its list", () => {
    const parse = (text: string) => {
      if (text === "bad") throw new Error("must be good");
      return text.toUpperCase();
    };
    expect(faultsOf((report) => readTexts(["bad", "good"], ["a"], report, parse))).toEqual({
      value: ["GOOD"],
      faults: ["a[0]: must be good"],
    });
  });
});

describe("a path", () => {
  const document = parseDocument("a:\n  - b: 1\n");

  it("is shown as in JavaScript", () => {
    expect(formatPath(["a", 0, "b"])).toBe("a[0].b");
    expect(formatPath([])).toBe("the policy");
  });

  it("leads to the value's offset, or to that of what it should be in", () => {
    expect(offsetOf(document, ["a", 0, "b"])).toBe(10);
    expect(offsetOf(document, ["a", 0, "c"])).toBe(offsetOf(document, ["a", 0]));
    expect(offsetOf(document, ["z"])).toBe(0);
  });
});
