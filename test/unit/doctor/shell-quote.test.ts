import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { shellQuote } from "../../../src/doctor/shell-quote.ts";

it.each(["key.json", "/a/b-c_d.e", "serviceAccount:a@b.example", "--flag=50%"])(
  "leaves %s as it is",
  (word) => {
    expect(shellQuote(word)).toBe(word);
  },
);

it.each(["my key.json", "o'neil", "$HOME", "a;b", "`id`", '"', "", "*", "a\nb", "\\"])(
  "quotes %j so that a shell reads it as one word",
  (word) => {
    const printed = execFileSync("sh", ["-c", `printf %s. ${shellQuote(word)}`], {
      encoding: "utf8",
    });
    expect(printed).toBe(`${word}.`);
  },
);
