import { glob, readFile } from "node:fs/promises";
import { dirname, join, normalize, sep } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");
const SOURCE = join(ROOT, "src");

interface Import {
  readonly from: string;
  readonly to: string;
}

const text = await readFile(join(ROOT, "docs/development.md"), "utf8");
const rows = parseMap(text);
const files = await readPaths();
const imports = await readImports();

/** The rows of the map in docs/development.md, from the top down; arrows separate them. */
function parseMap(document: string): readonly (readonly string[])[] {
  const map = /<!-- map -->\n```\n([^]*?)\n```/.exec(document)?.[1] ?? "";
  return map
    .split("\n")
    .map((line) => line.split(/[\s│]+/).filter((name) => name !== ""))
    .filter((names) => names.length > 0);
}

async function readPaths(): Promise<readonly string[]> {
  const paths: string[] = [];
  for await (const path of glob("**/*.ts", { cwd: SOURCE })) paths.push(path);
  return paths;
}

async function readImports(): Promise<readonly Import[]> {
  const found = files.map(async (from) => {
    const source = await readFile(join(SOURCE, from), "utf8");
    const specifiers = source.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g);
    return [...specifiers].map(([, specifier = ""]) => ({
      from,
      to: normalize(join(dirname(from), specifier)),
    }));
  });
  return (await Promise.all(found)).flat().filter(({ to }) => !to.startsWith(".."));
}

/** The first import that leads back to a file that leads to it, as a path of files. */
function findCycle(edges: readonly Import[]): readonly string[] | undefined {
  const targets = Map.groupBy(edges, ({ from }) => from);
  const done = new Set<string>();
  function visit(file: string, path: readonly string[]): readonly string[] | undefined {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const { to } of targets.get(file) ?? []) {
      const cycle = visit(to, [...path, file]);
      if (cycle !== undefined) return cycle;
    }
    done.add(file);
    return undefined;
  }
  for (const file of targets.keys()) {
    const cycle = visit(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

const roomOf = (path: string): string => path.split(sep)[0] ?? path;
const rowOf = (path: string): number => rows.findIndex((names) => names.includes(roomOf(path)));

describe("The map in docs/development.md", () => {
  it("shows every room of src/, and the only file outside a room", () => {
    expect(new Set(rows.flat())).toEqual(new Set(files.map(roomOf)));
    expect(rows.flat().filter((name) => name.endsWith(".ts"))).toEqual(["main.ts"]);
  });

  it("has a paragraph for each room", () => {
    const headings = new Set([...text.matchAll(/^### (.+)\n\n\S/gm)].map(([, name]) => name));
    expect(rows.flat().filter((name) => !headings.has(name))).toEqual([]);
  });
});

describe("A source file", () => {
  it("imports only from its own room or from a lower row of the map", () => {
    const wrong = imports.filter(
      ({ from, to }) => roomOf(from) !== roomOf(to) && rowOf(to) <= rowOf(from),
    );
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });

  it("is in no circle of imports", () => {
    expect(findCycle(imports)).toBeUndefined();
  });
});

it("A circle of imports is found", () => {
  const edges = [
    { from: "a.ts", to: "b.ts" },
    { from: "b.ts", to: "c.ts" },
    { from: "c.ts", to: "b.ts" },
  ];
  expect(findCycle(edges)).toEqual(["b.ts", "c.ts", "b.ts"]);
});
