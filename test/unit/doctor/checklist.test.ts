import { describe, expect, it } from "vitest";
import {
  CheckFailure,
  createChecklist,
  formatJson,
  formatResult,
  hasPassed,
} from "../../../src/doctor/checklist.ts";

describe("a checklist", () => {
  it("passes on values, and skips checks whose input is missing", async () => {
    const lines: string[] = [];
    const { check, results } = createChecklist((result) => lines.push(formatResult(result)));
    const one = await check("file", "in", (input) => ({ message: input, value: 1 }));
    const two = await check("key", one, (value) => {
      throw new CheckFailure(`failed with ${value}`, "mend it");
    });
    const three = await check("dns", two, () => ({ message: "never", value: 3 }));
    await check("clock", one, () => ({ message: "odd", remedy: "look", value: undefined }));
    expect(three).toBeUndefined();
    expect(lines).toEqual([
      "✓ file    in",
      "✗ key     failed with 1 → mend it",
      "- dns     not checked because key failed",
      "! clock   odd → look",
    ]);
    expect(hasPassed(results)).toBe(false);
    expect(JSON.parse(formatJson(results))).toMatchObject({
      passed: false,
      checks: [
        { state: "passed" },
        { state: "failed" },
        { state: "skipped" },
        { state: "warning" },
      ],
    });
  });

  it("passes with a warning", async () => {
    const { check, results } = createChecklist(() => {});
    await check("clock", 1, () => ({ message: "odd", remedy: "look", value: 1 }));
    expect(hasPassed(results)).toBe(true);
  });

  it("does not disguise an unexpected error as a failed check", async () => {
    const { check } = createChecklist(() => {});
    const fault = new TypeError("a fault");
    await expect(check("file", 1, () => Promise.reject(fault))).rejects.toBe(fault);
  });

  it("prints a result on one line, whatever the other end put into a name", () => {
    const message = "from \u001B[2Jevil\r\n✓ mint all is well\u0085";
    expect(formatResult({ name: "tls", state: "failed", message })).toBe(
      "✗ tls     from ?[2Jevil??✓ mint all is well?",
    );
  });
});
