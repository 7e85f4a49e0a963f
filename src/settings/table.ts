import { parseArgs } from "node:util";
import { UsageError } from "../system/errors.ts";

/** One setting of a command: where it may be given, how it is read, what it means. */
export interface Setting<T> {
  readonly flag: string;
  readonly env?: string;
  /** What stands for the value in help; absent for a switch, which needs none. */
  readonly placeholder?: string;
  /** The default as a person would type it. */
  readonly default?: string;
  /** The default in words, where there is no text to type. */
  readonly defaultNote?: string;
  readonly help: string;
  /** Reads what was given, in order; nothing given and no default: an empty list. */
  readonly read: (texts: readonly string[]) => T;
}

/** How one text becomes a value. Throws an Error whose message is the rule that was broken. */
export type Parser<T> = (text: string) => T;

type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = { readonly [K in keyof S]: ReturnType<S[K]["read"]> };

type Words<T> = Omit<Setting<T>, "read">;

/** A setting that always has a value. */
export function one<T>(words: Words<T> & { default: string }, parse: Parser<T>): Setting<T> {
  return { ...words, read: (texts) => parse(texts.at(-1) ?? words.default) };
}

/** A setting that may be left out. */
export function optional<T>(words: Words<T>, parse: Parser<T>): Setting<T | undefined> {
  return {
    ...words,
    read: (texts) => {
      const text = texts.at(-1);
      return text === undefined ? undefined : parse(text);
    },
  };
}

/** A setting that may be repeated; each text may also hold several values between commas. */
export function many<T>(words: Words<readonly T[]>, parse: Parser<T>): Setting<readonly T[]> {
  return {
    ...words,
    read: (texts) => texts.flatMap((text) => text.split(",")).map((text) => parse(text.trim())),
  };
}

/** A setting that is on or off. The flag alone means on. */
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

/**
 * Reads a command's settings: a flag beats the environment beats the default; an empty
 * environment variable counts as unset. `positionals` names the arguments that the command takes.
 * Throws a UsageError that lists every fault.
 */
export function parseSettings<S extends Settings>(
  settings: S,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  positionals: readonly string[] = [],
): { readonly values: Values<S>; readonly positionals: readonly string[] } {
  const { given, rest, faults } = readArgv(settings, argv);
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const fromEnv = setting.env === undefined ? "" : (env[setting.env] ?? "");
    const texts = given.get(setting.flag) ?? (fromEnv === "" ? [] : [fromEnv]);
    try {
      values[key] = setting.read(texts);
    } catch (error) {
      const inEnv = fromEnv !== "" && !given.has(setting.flag);
      const name = inEnv ? setting.env : `--${setting.flag}`;
      const shown = texts.length === 0 ? "" : ` ${texts.map(quote).join(" ")}`;
      faults.push(`${name}${shown}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  for (const name of positionals.slice(rest.length)) faults.push(`${name}: must be given`);
  for (const extra of rest.slice(positionals.length)) {
    faults.push(`${quote(extra)}: unexpected argument`);
  }
  if (faults.length > 0) throw new UsageError(faults);
  return { values: values as Values<S>, positionals: rest };
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
  const faults: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") rest.push(token.value);
    if (token.kind !== "option") continue;
    const setting = known.get(token.name);
    if (setting === undefined) {
      faults.push(`${token.rawName}: unknown flag; --help lists the known ones`);
    } else if (token.value === undefined && setting.placeholder !== undefined) {
      faults.push(`${token.rawName}: needs a value, ${setting.placeholder}`);
    } else {
      const texts = given.get(setting.flag) ?? [];
      given.set(setting.flag, [...texts, token.value ?? "on"]);
    }
  }
  return { given, rest, faults };
}

/** A value as a fault shows it: on one line, not endless, and never a key pasted for a path. */
function quote(text: string): string {
  if (text.includes("{") || text.includes("PRIVATE KEY")) return "(value not shown)";
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

/** The rows of a table of settings: flag, environment, default, meaning. */
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

/** The settings as `--help` prints them, at most 100 columns wide. */
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
