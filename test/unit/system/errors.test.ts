import { readFile } from "node:fs/promises";
import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { codeOf, MintError, systemReason, UsageError } from "../../../src/system/errors.ts";

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

describe("systemReason", () => {
  it("names the path and says in words why the system refused", async () => {
    const path = "/there/is/no/such/file";
    const error: unknown = await readFile(path).catch((cause: unknown) => cause);
    expect(systemReason(error)).toBe(`${path}: no such file or directory`);
  });

  it("takes the first of several errors, as of a name with several addresses", () => {
    const refused = Object.assign(new Error("connect"), { errno: -constants.errno.ECONNREFUSED });
    expect(systemReason(new AggregateError([refused, new Error("other")]))).toBe(
      systemReason(refused),
    );
  });

  it("returns the message of any other error", () => {
    expect(systemReason(new Error("not a key"))).toBe("not a key");
    expect(systemReason("text")).toBe("text");
  });
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
