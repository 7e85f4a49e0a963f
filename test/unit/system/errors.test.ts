import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { codeOf, MintError, UsageError } from "../../../src/system/errors.ts";

describe("codeOf", () => {
  it("returns the code that Node.js put on an error", async () => {
    const error: unknown = await readFile("/there/is/no/such/file").catch(
      (cause: unknown) => cause,
    );
    expect(codeOf(error)).toBe("ENOENT");
  });

  it.each([new Error("no code"), { code: 3 }, "ENOENT", null, undefined])(
    "returns undefined for %o, which has no code in text",
    (error) => {
      expect(codeOf(error)).toBeUndefined();
    },
  );
});

it("counts only a rejected mint as permanent", () => {
  expect(new MintError("mint_rejected", "refused").permanent).toBe(true);
  expect(new MintError("mint_unavailable", "busy").permanent).toBe(false);
});

it("reports every fault of a configuration, one on each line", () => {
  expect(new UsageError(["--listen: wrong", "--audience: wrong"]).message).toBe(
    "--listen: wrong\n--audience: wrong",
  );
});
