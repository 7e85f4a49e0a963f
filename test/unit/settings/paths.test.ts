import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findSystemBundle, parseAbsolutePath, parsePath } from "../../../src/settings/paths.ts";
import { PEM_KEY_HEADER } from "../../support/pem-key.ts";

describe("parsePath", () => {
  it.each(["key.json", "/keys/a.json", "./with space.json", "it's.pem"])("accepts %j", (text) => {
    expect(parsePath(text)).toBe(text);
  });

  it.each(['{"type":1}', ` '{"type":1}'`, PEM_KEY_HEADER, "two\nlines"])(
    "refuses %j, which is the content of a file",
    (text) => {
      expect(() => parsePath(text)).toThrow("must be a path, not the content of the file");
    },
  );

  it.each(["", "a\0b"])("refuses %j", (text) => {
    expect(() => parsePath(text)).toThrow(/^must be a path$/);
  });
});

describe("parseAbsolutePath", () => {
  it("starts at the working folder", () => {
    expect(parseAbsolutePath("a/b")).toBe(join(process.cwd(), "a/b"));
    expect(parseAbsolutePath("/a")).toBe("/a");
    expect(() => parseAbsolutePath("")).toThrow("must be a path");
  });
});

describe("findSystemBundle", () => {
  it("finds a file", () => {
    expect(existsSync(findSystemBundle())).toBe(true);
  });
});
