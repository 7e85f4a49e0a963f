import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { envoyTemplates, renderEnvoyTemplate } from "../../../src/envoy/templates.ts";

const FOLDER = join(import.meta.dirname, "../../../envoy");

describe("the files in envoy/", () => {
  it("are one for each template", async () => {
    const files = (await readdir(FOLDER)).filter((file) => file.endsWith(".yaml"));
    expect(files.sort()).toEqual(envoyTemplates.map(({ file }) => `${file}.yaml`).sort());
  });

  it.each(envoyTemplates)("$file.yaml is what `npm run envoy:write` writes", async (template) => {
    const text = await readFile(join(FOLDER, `${template.file}.yaml`), "utf8");
    expect(text).toBe(renderEnvoyTemplate(template));
  });

  it.each(envoyTemplates)("$file.yaml explains the variables that it uses", async ({ file }) => {
    const text = await readFile(join(FOLDER, `${file}.yaml`), "utf8");
    const [head = "", ...body] = text.split(/^(?=admin:)/m);
    const explained = [...head.matchAll(/^# {3}export (\w+)=/gm)].map(([, each]) => each);
    const used = [...body.join("").matchAll(/\$\{(\w+)\}/g)].map(([, each]) => each);
    expect(new Set(explained)).toEqual(new Set(used));
  });
});
