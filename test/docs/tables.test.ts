import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { envoyConfigNames } from "../../src/envoy/configs.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { ROOT } from "../support/server-process.ts";
import { readDocument } from "./documents.ts";
import { readGenerated, replaceTable } from "./generated-tables.ts";

/** The first cells of a section's table, without code marks and labels. */
async function firstCells(path: string, section: string): Promise<readonly string[]> {
  const { text } = await readDocument(path);
  const [, from = ""] = text.split(`\n## ${section}\n`);
  const [body = ""] = from.split("\n## ");
  return [...body.matchAll(/^\| `([^`{]+)[^`]*` \|/gm)].map(([, cell = ""]) => cell);
}

const envoy = {
  state: () => "ready" as const,
  restarts: () => 0,
  metrics: () => Promise.resolve(""),
};
const credential = {
  type: "service_account" as const,
  principal: "caller@my-project.iam.gserviceaccount.com",
  keyId: "",
  endpoint: new URL("https://oauth2.googleapis.com/token"),
  mint: () => Promise.reject(new Error("not used")),
  mintAs: () => () => Promise.reject(new Error("not used")),
};

describe("The documents", () => {
  it("contain the tables that `npm run docs:write` generates", async () => {
    for (const { current, expected } of await readGenerated()) expect(current).toBe(expected);
  });

  it("describe every metric of the auth server, and no other", async () => {
    const state = { readiness: () => [], cachedAudiences: () => 0, credential, envoy };
    const text = await createMetrics(state).render();
    const names = [...text.matchAll(/^# HELP (idtoken_authz_\w+)/gm)].map(([, name = ""]) => name);
    const described = await firstCells("docs/operations.md", "Metrics");
    expect(described.toSorted()).toEqual(names.toSorted());
  });

  it("describe every alert, and no other", async () => {
    const rules = await readFile(join(ROOT, "deploy/prometheus/rules.yaml"), "utf8");
    const { groups } = parse(rules) as { groups: { rules: { alert: string }[] }[] };
    const names = groups.flatMap((group) => group.rules.map(({ alert }) => alert));
    expect(await firstCells("docs/operations.md", "Alerts")).toEqual(names);
  });

  it("describe every Envoy config, and no other", async () => {
    const cells = await firstCells("docs/settings.md", "`envoy`");
    expect(cells.filter((cell) => !cell.startsWith("--"))).toEqual(envoyConfigNames);
  });
});

it("A document without the marks of a generated table is an error", () => {
  expect(() => replaceTable("# Title\n", "serve", "| a |")).toThrow('"serve"');
});
