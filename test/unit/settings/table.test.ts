import { describe, expect, it } from "vitest";
import {
  formatHelp,
  many,
  one,
  optional,
  parseSettings,
  refused,
  settingRows,
  toggle,
} from "../../../src/settings/table.ts";
import { UsageError } from "../../../src/system/errors.ts";
import { PEM_KEY_HEADER } from "../../support/pem-key.ts";

function parseNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error("must be a number");
  return Number(text);
}

const settings = {
  count: one(
    { flag: "count", env: "COUNT", placeholder: "N", default: "3", help: "How many." },
    parseNumber,
  ),
  name: optional(
    { flag: "name", placeholder: "NAME", defaultNote: "yours", help: "Who." },
    (text) => text,
  ),
  list: many({ flag: "list", env: "LIST", placeholder: "N", help: "Which." }, parseNumber),
  loud: toggle({ flag: "loud", env: "LOUD", default: "off", help: "Whether." }),
};

const parse = (argv: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  parseSettings(settings, argv, env).values;

function errorsOf(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
  positionals: readonly string[] = [],
): readonly string[] {
  try {
    parseSettings(settings, argv, env, positionals);
  } catch (error) {
    if (error instanceof UsageError) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("parseSettings", () => {
  it("takes defaults for what is not given", () => {
    expect(parse([])).toEqual({ count: 3, name: undefined, list: [], loud: false });
  });

  it("prefers flags to the environment, and takes the last of several", () => {
    const env = { COUNT: "5", LIST: "1,2" };
    expect(parse([], env)).toMatchObject({ count: 5, list: [1, 2] });
    expect(parse(["--count=6", "--count", "7", "--list=8"], env)).toMatchObject({
      count: 7,
      list: [8],
    });
  });

  it("treats an empty variable as unset", () => {
    expect(parse([], { COUNT: "", LIST: "" })).toMatchObject({ count: 3, list: [] });
  });

  it("collects repeated flags and values separated by commas", () => {
    expect(parse(["--list=1, 2", "--list", "3"]).list).toEqual([1, 2, 3]);
  });

  it.each([
    [["--loud"], true],
    [["--loud=yes"], true],
    [["--loud=OFF"], false],
    [["--loud", "--loud=0"], false],
  ])("reads the switch %j as %s", (argv, loud) => {
    expect(parse(argv, { LOUD: loud ? "off" : "on" }).loud).toBe(loud);
  });

  it("does not take the next flag for a missing value", () => {
    expect(errorsOf(["--name", "--loud"])).toEqual(["--name: needs a value, NAME"]);
    expect(errorsOf(["--name=--loud"])).toEqual([]);
  });

  it("lists every error with its source, value and rule", () => {
    expect(errorsOf(["--wrong", "--list=1,x", "stray", "--name"], { COUNT: "y" })).toEqual([
      "--wrong: unknown flag; --help lists the known ones",
      "--name: needs a value, NAME",
      'COUNT "y": must be a number',
      '--list "1,x": must be a number',
      '"stray": unexpected argument',
    ]);
    expect(errorsOf(["--loud=maybe"])).toEqual(['--loud "maybe": must be on or off']);
  });

  it("does not report what may be the value of an unknown flag, nor show what was not typed", () => {
    expect(errorsOf(["--wrong", "value", "stray"])).toEqual([
      "--wrong: unknown flag; --help lists the known ones",
      '"stray": unexpected argument',
    ]);
    expect(errorsOf(["stray"])).toEqual(['"stray": unexpected argument']);
    const refusing = { loud: refused(settings.loud, "not here") };
    expect(() => parseSettings(refusing, ["--loud"], {})).toThrow(/^--loud: not here$/);
  });

  it("returns the arguments that a command takes, and requires each", () => {
    expect(parseSettings(settings, ["dir", "--loud"], {}, ["DIR"]).positionals).toEqual(["dir"]);
    expect(errorsOf([], {}, ["DIR"])).toEqual(["DIR: must be given"]);
  });

  it("does not show a wrong value that may be a secret", () => {
    const shown = (value: string) => errorsOf([`--count=${value}`])[0];
    expect(shown('{"private_key": "x"}')).toBe("--count (value not shown): must be a number");
    expect(shown(PEM_KEY_HEADER)).toBe("--count (value not shown): must be a number");
    expect(shown("a\nb")).toBe("--count (value not shown): must be a number");
    expect(shown("a".repeat(201))).toBe("--count (value not shown): must be a number");
  });
});

describe("help", () => {
  it("has flag, variable, default and meaning of each setting", () => {
    expect(formatHelp("Usage: x", settings)).toBe(
      [
        "Usage: x",
        "",
        "  --count N  (COUNT, default 3)",
        "        How many.",
        "  --name NAME  (default yours)",
        "        Who.",
        "  --list N  (LIST, default none)",
        "        Which.",
        "  --loud  (LOUD, default off)",
        "        Whether.",
        "",
      ].join("\n"),
    );
  });

  it("is wrapped at 100 columns", () => {
    const help = "word ".repeat(60).trim();
    const lines = formatHelp("Usage: x", { a: toggle({ flag: "a", help }) }).split("\n");
    expect(lines.map((line) => line.length).filter((length) => length > 100)).toEqual([]);
    expect(lines.join(" ").match(/word/g)).toHaveLength(60);
  });

  it("has the same rows as the documentation", () => {
    expect(settingRows(settings)).toEqual([
      ["--count N", "COUNT", "3", "How many."],
      ["--name NAME", "", "yours", "Who."],
      ["--list N", "LIST", "none", "Which."],
      ["--loud", "LOUD", "off", "Whether."],
    ]);
  });
});
