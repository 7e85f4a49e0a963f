import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { doctorSettings } from "../../src/settings/doctor.ts";
import { envoySettings } from "../../src/settings/envoy-table.ts";
import { relaySettings } from "../../src/settings/relay.ts";
import { allServeSettings } from "../../src/settings/serve.ts";
import { settingRows } from "../../src/settings/table.ts";
import { upOwnSettings } from "../../src/settings/up.ts";
import { LOG_EVENTS } from "../../src/telemetry/log-events.ts";
import { ROOT } from "../support/server-process.ts";

type Settings = Parameters<typeof settingRows>[0];

/** The tables that come from the code, by document and the name in their marks. */
const TABLES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "docs/settings.md": {
    serve: settingsTable(allServeSettings),
    envoy: settingsTable(envoySettings),
    up: settingsTable(upOwnSettings),
    relay: settingsTable(relaySettings),
    doctor: settingsTable(doctorSettings),
  },
  "docs/operations.md": {
    "log events": table(
      ["event", "meaning"],
      Object.entries(LOG_EVENTS).map(([event, meaning]) => [`\`${event}\``, meaning]),
    ),
  },
};

/** Columns that no setting has anything in are left out. */
function settingsTable(settings: Settings): string {
  const code = (text: string) => (text === "" ? "" : `\`${text}\``);
  const rows = settingRows(settings).map(([flag, env, fallback, help]) => [
    code(flag),
    code(env),
    fallback,
    help,
  ]);
  const head = ["flag", "environment", "default", "meaning"];
  const used = head.map((_, column) => rows.some((row) => row[column] !== ""));
  const usedOf = (cells: readonly string[]) => cells.filter((_, column) => used[column]);
  return table(usedOf(head), rows.map(usedOf));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");
}

/** Each document with generated tables: its text, and its text with the tables written anew. */
export async function readGenerated(): Promise<
  readonly { readonly path: string; readonly current: string; readonly expected: string }[]
> {
  return Promise.all(
    Object.entries(TABLES).map(async ([path, tables]) => {
      const current = await readFile(join(ROOT, path), "utf8");
      const expected = Object.entries(tables).reduce(
        (text, [name, content]) => replaceTable(text, name, content),
        current,
      );
      return { path, current, expected };
    }),
  );
}

/** A document's text with new content between the marks of this name. Throws if there are none. */
export function replaceTable(text: string, name: string, content: string): string {
  const between = new RegExp(`(<!-- generated: ${name} -->\n)[^]*?(<!-- end -->)`);
  if (!between.test(text)) throw new Error(`no marks for the generated table "${name}"`);
  return text.replace(between, (_, start: string, end: string) => `${start}${content}\n${end}`);
}

if (import.meta.main) {
  for (const { path, expected } of await readGenerated()) {
    await writeFile(join(ROOT, path), expected);
  }
}
