import { glob, readFile } from "node:fs/promises";
import { dirname, join, normalize, relative, sep } from "node:path";
import { expect, it } from "vitest";

const SOURCE = join(import.meta.dirname, "../../../src");

/** The rooms from the top down; those of one line may not import each other. */
const LEVELS: readonly (readonly string[])[] = [
  ["main.ts"],
  ["commands"],
  ["server.ts"],
  ["http", "grpc", "settings"],
  ["telemetry", "doctor"],
  ["credentials"],
  ["google"],
  ["tokens", "access", "envoy"],
  ["system"],
];

interface Import {
  readonly from: string;
  readonly to: string;
}

const roomOf = (path: string): string => path.split(sep)[0] ?? path;
const levelOf = (path: string): number => LEVELS.findIndex((rooms) => rooms.includes(roomOf(path)));

async function readImports(): Promise<readonly Import[]> {
  const imports: Import[] = [];
  for await (const path of glob(join(SOURCE, "**/*.ts"))) {
    const from = relative(SOURCE, path);
    const text = await readFile(path, "utf8");
    for (const [, specifier = ""] of text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
      imports.push({ from, to: normalize(join(dirname(from), specifier)) });
    }
  }
  return imports.filter(({ to }) => !to.startsWith(".."));
}

it("puts every file into a room that has a level", async () => {
  const files = (await readImports()).flatMap(({ from, to }) => [from, to]);
  expect([...new Set(files)].filter((path) => levelOf(path) === -1)).toEqual([]);
});

it("imports from its own room or a lower one only", async () => {
  const upward = (await readImports()).filter(
    ({ from, to }) => roomOf(from) !== roomOf(to) && levelOf(to) <= levelOf(from),
  );
  expect(upward.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
});
