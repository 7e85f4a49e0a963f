import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "../support/server-process.ts";
import { readDocuments, type Document } from "./documents.ts";

const documents = await readDocuments();
const byPath = new Map(documents.map((document) => [document.path, document]));

interface Link {
  /** As it is written. */
  readonly href: string;
  /** The file or folder that it leads to, relative to the project's folder. */
  readonly path: string;
  readonly anchor: string | undefined;
}

/** The links that lead to this project's own files. */
function internalLinks({ path, links }: Document): readonly Link[] {
  return links
    .filter((href) => !/^[a-z]+:/.test(href))
    .map((href) => {
      const [file = "", anchor] = href.split("#");
      return { href, path: file === "" ? path : normalize(join(dirname(path), file)), anchor };
    });
}

function isBroken({ path, anchor }: Link): boolean {
  if (!existsSync(join(ROOT, path))) return true;
  return anchor !== undefined && byPath.get(path)?.anchors.includes(anchor) !== true;
}

describe.each(documents)("$path", (document) => {
  it("links only to files and headings that exist", () => {
    const broken = internalLinks(document).filter(isBroken);
    expect(broken.map(({ href }) => href)).toEqual([]);
  });

  it("names only files and folders that exist", () => {
    expect(document.paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("links to the outside by https only", () => {
    expect(document.links.filter((href) => /^(?!https:)[a-z]+:/.test(href))).toEqual([]);
  });
});

it("Every document can be reached from the README", () => {
  const reached = new Set(["README.md"]);
  // A Set's iteration includes what is added meanwhile.
  for (const path of reached) {
    const document = byPath.get(path);
    for (const link of document ? internalLinks(document) : []) {
      if (byPath.has(link.path)) reached.add(link.path);
    }
  }
  expect([...byPath.keys()].filter((path) => !reached.has(path))).toEqual([]);
});

it("The README has at most 200 lines", () => {
  const lines = byPath.get("README.md")?.text.trimEnd().split("\n") ?? [];
  expect(lines.length).toBeLessThanOrEqual(200);
});
