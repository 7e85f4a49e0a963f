import { describe, expect, it } from "vitest";
import { doctorHelp } from "../../../src/commands/doctor.ts";

describe("the help", () => {
  it("fits 100 columns", () => {
    expect(
      Math.max(
        ...doctorHelp()
          .split("\n")
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(100);
  });
});
