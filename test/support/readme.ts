import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { envoySettings } from "../../src/settings/envoy.ts";
import { serveSettings } from "../../src/settings/serve.ts";
import { settingRows } from "../../src/settings/table.ts";
import { ROOT } from "./server-process.ts";

/** The README's path. */
export const README = join(ROOT, "README.md");

/** The README's tables that come from the code, by the name in their marks. */
const TABLES: Readonly<Record<string, string>> = {
  "settings of serve": table(["flag", "environment", "default", "meaning"], serveSettings),
  "flags of envoy": table(["flag", "", "default", "meaning"], envoySettings),
};

function table(head: readonly string[], settings: Parameters<typeof settingRows>[0]): string {
  const kept = head.map((title) => title !== "");
  const row = (cells: readonly string[]) =>
    `| ${cells
      .filter((_, index) => kept[index])
      .map((cell) => cell.replaceAll("|", "\\|"))
      .join(" | ")} |`;
  const code = (text: string) => (text === "" ? "" : `\`${text}\``);
  const rows = settingRows(settings).map(([flag, env, fallback, help]) =>
    row([code(flag), code(env), fallback, help]),
  );
  return [row(head), row(head.map(() => "---")), ...rows].join("\n");
}

/** The README as it is and as it should be, its tables made anew. Throws where a mark is missing. */
export async function readReadme(): Promise<{ readonly is: string; readonly shouldBe: string }> {
  const is = await readFile(README, "utf8");
  let shouldBe = is;
  for (const [name, text] of Object.entries(TABLES)) shouldBe = withTable(shouldBe, name, text);
  return { is, shouldBe };
}

/** The README with another text between the marks of this name. Throws where a mark is missing. */
export function withTable(readme: string, name: string, text: string): string {
  const between = new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- end -->)`);
  if (!between.test(readme)) throw new Error(`README.md has no marks for ${name}`);
  return readme.replace(between, (_, start: string, end: string) => `${start}${text}\n${end}`);
}

if (import.meta.main) await writeFile(README, (await readReadme()).shouldBe);
