import { glob, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { expect, it } from "vitest";
import manifest from "../../../package.json" with { type: "json" };
import { ROOT } from "../../support/server-process.ts";

/** The program's version where a file has to write it out: an image's label or tag. */
const VERSIONS =
  /(?:image\.version="|\bidtoken-authz(?:-tunnel-server)?:|newTag: )(\d+\.\d+\.\d+)/g;

it("every image label and tag has the version of package.json", async () => {
  const found: (readonly [string, string | undefined])[] = [];
  for await (const path of glob([join(ROOT, "Dockerfile"), join(ROOT, "deploy/**/*.yaml")])) {
    const text = await readFile(path, "utf8");
    for (const [, version] of text.matchAll(VERSIONS)) found.push([relative(ROOT, path), version]);
  }
  expect(found.length).toBeGreaterThan(0);
  expect(found.filter(([, version]) => version !== manifest.version)).toEqual([]);
});
