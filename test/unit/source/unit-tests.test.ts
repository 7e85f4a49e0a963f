import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { expect, it } from "vitest";

const SOURCE = join(import.meta.dirname, "../../../src");
const TESTS = join(import.meta.dirname, "..");

/** Whether a file has a function or a class; one with types and constants alone needs no test. */
function hasBehaviour(source: string): boolean {
  const code = stripTypeScriptTypes(source).replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "");
  return /\bfunction\b|\bclass\b|=>|\bawait\b/.test(code);
}

it("Every source file with behaviour has a unit test of its own name.", async () => {
  const missing: string[] = [];
  for await (const path of glob("**/*.ts", { cwd: SOURCE })) {
    const test = join(TESTS, path.replace(/\.ts$/, ".test.ts"));
    if (!existsSync(test) && hasBehaviour(await readFile(join(SOURCE, path), "utf8"))) {
      missing.push(path);
    }
  }
  expect(missing.toSorted()).toEqual([]);
});
