import { parseArgs } from "node:util";
import { UsageError } from "../system/errors.ts";
import { isShowable, quote } from "../system/show.ts";

/** One setting of a command: its flag and variable, how it is parsed, what it means. */
export interface Setting<T> {
  readonly flag: string;
  readonly env?: string;
  /** The name of the value in help texts; absent for a switch, which needs no value. */
  readonly placeholder?: string;
  /** The default as a user would type it. */
  readonly default?: string;
  /** The default in words, if it cannot be typed. */
  readonly defaultNote?: string;
  readonly help: string;
  /** Parses the given values, in order; empty if none was given. */
  readonly read: (texts: readonly string[]) => T;
}

/** Parses one value. Throws an Error whose message is the broken rule. */
export type Parser<T> = (text: string) => T;

type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = { readonly [K in keyof S]: ReturnType<S[K]["read"]> };

type Words<T> = Omit<Setting<T>, "read">;

/** A setting with a default. */
export function one<T>(words: Words<T> & { default: string }, parse: Parser<T>): Setting<T> {
  return { ...words, read: (texts) => parse(texts.at(-1) ?? words.default) };
}

/** A setting without a default. */
export function optional<T>(words: Words<T>, parse: Parser<T>): Setting<T | undefined> {
  return {
    ...words,
    read: (texts) => {
      const text = texts.at(-1);
      return text === undefined ? undefined : parse(text);
    },
  };
}

/** A setting that may be repeated, and whose values may also be separated by commas. */
export function many<T>(words: Words<readonly T[]>, parse: Parser<T>): Setting<readonly T[]> {
  return {
    ...words,
    read: (texts) => texts.flatMap((text) => text.split(",")).map((text) => parse(text.trim())),
  };
}

/** A setting that is on or off; the bare flag means on. */
export function toggle(words: Words<boolean>): Setting<boolean> {
  return {
    ...words,
    read: (texts) => {
      const text = texts.at(-1)?.toLowerCase() ?? "off";
      if (["true", "1", "on", "yes"].includes(text)) return true;
      if (["false", "0", "off", "no"].includes(text)) return false;
      throw new Error("must be on or off");
    },
  };
}

/** A setting whose flag is refused, with this rule, and whose variable is ignored. */
export function refused(setting: Setting<unknown>, rule: string): Setting<undefined> {
  const read = (texts: readonly string[]) => {
    if (texts.length > 0) throw new Error(rule);
    return undefined;
  };
  const { flag, placeholder, help } = setting;
  return { flag, ...(placeholder !== undefined && { placeholder }), help, read };
}

/**
 * Reads a command's settings: flags take precedence over the environment, which takes precedence
 * over defaults; an empty environment variable counts as unset. `positionals` names the command's
 * arguments. Throws a UsageError that lists every error.
 */
export function parseSettings<S extends Settings>(
  settings: S,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  positionals: readonly string[] = [],
): { readonly values: Values<S>; readonly positionals: readonly string[] } {
  const { given, rest, ofUnknown, errors } = readArgv(settings, argv);
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const fromEnv = setting.env === undefined ? "" : (env[setting.env] ?? "");
    const texts = given.get(setting.flag) ?? (fromEnv === "" ? [] : [fromEnv]);
    try {
      values[key] = setting.read(texts);
    } catch (error) {
      const inEnv = fromEnv !== "" && !given.has(setting.flag);
      const name = inEnv ? setting.env : `--${setting.flag}`;
      // The value of a bare switch was not typed.
      const typed = texts.filter((text) => setting.placeholder !== undefined || text !== "on");
      const shown = typed.map((text) => ` ${quote(text)}`).join("");
      errors.push(`${name}${shown}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  for (const name of positionals.slice(rest.length)) errors.push(`${name}: must be given`);
  for (const extra of rest.slice(positionals.length)) {
    if (ofUnknown.has(extra)) continue;
    errors.push(`${quote(extra)}: unexpected argument`);
  }
  if (errors.length > 0) throw new UsageError(errors);
  return { values: values as Values<S>, positionals: rest };
}

/** The first argument that is neither a flag nor a flag's value. */
export function firstPositional(settings: Settings, argv: readonly string[]): string | undefined {
  return readArgv(settings, argv).rest[0];
}

function readArgv(settings: Settings, argv: readonly string[]) {
  const known = new Map(Object.values(settings).map((setting) => [setting.flag, setting]));
  const options = Object.fromEntries(
    [...known].map(([flag, { placeholder }]) => [
      flag,
      { type: placeholder === undefined ? "boolean" : "string" } as const,
    ]),
  );
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  const given = new Map<string, string[]>();
  const rest: string[] = [];
  /** Arguments that follow an unknown flag, and so may be its value. */
  const ofUnknown = new Set<string>();
  let unknownAt = Number.NaN;
  const errors: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") {
      rest.push(token.value);
      if (token.index === unknownAt + 1) ofUnknown.add(token.value);
    }
    if (token.kind !== "option") continue;
    const setting = known.get(token.name);
    if (setting === undefined) {
      const name = isShowable(token.rawName) ? token.rawName : "(name not shown)";
      errors.push(`${name}: unknown flag; --help lists the known ones`);
      unknownAt = token.index;
    } else if (setting.placeholder !== undefined && lacksValue(token)) {
      errors.push(`${token.rawName}: needs a value, ${setting.placeholder}`);
    } else {
      const texts = given.get(setting.flag) ?? [];
      given.set(setting.flag, [...texts, token.value ?? "on"]);
    }
  }
  return { given, rest, ofUnknown, errors };
}

/** Whether a flag's value is missing, or is really the next flag. */
function lacksValue(token: {
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}): boolean {
  return token.value === undefined || (token.inlineValue === false && token.value.startsWith("--"));
}

/** The rows of a documentation table: flag, environment, default, meaning. */
export function settingRows(
  settings: Settings,
): readonly (readonly [string, string, string, string])[] {
  return Object.values(settings).map((setting) => [
    `--${setting.flag}${setting.placeholder === undefined ? "" : ` ${setting.placeholder}`}`,
    setting.env ?? "",
    setting.default ?? setting.defaultNote ?? "none",
    setting.help,
  ]);
}

/** The settings in the format of `--help`, at most 100 columns wide. */
export function formatHelp(usage: string, settings: Settings): string {
  const blocks = settingRows(settings).map(([flag, env, fallback, help]) => {
    const origin = env === "" ? `default ${fallback}` : `${env}, default ${fallback}`;
    return `  ${flag}  (${origin})\n${wrap(help, 92, "        ")}`;
  });
  return `${usage}\n\n${blocks.join("\n")}\n`;
}

function wrap(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => indent + each).join("\n");
}
