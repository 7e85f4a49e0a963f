import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { envoySettings } from "../../src/commands/envoy.ts";
import { serveSettings } from "../../src/config.ts";
import { settingRows } from "../../src/settings.ts";
import { ROOT } from "./server-process.ts";

const README = join(ROOT, "README.md");

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
  for (const [name, text] of Object.entries(TABLES)) {
    const between = new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- end -->)`);
    if (!between.test(shouldBe)) throw new Error(`README.md has no marks for ${name}`);
    shouldBe = shouldBe.replace(
      between,
      (_, start: string, end: string) => `${start}${text}\n${end}`,
    );
  }
  return { is, shouldBe };
}

if (import.meta.main) await writeFile(README, (await readReadme()).shouldBe);
