import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { LOG_EVENTS } from "../../../src/telemetry/log-events.ts";
import { ROOT } from "../../support/server-process.ts";

it("names events in snake case", () => {
  for (const name of Object.keys(LOG_EVENTS)) expect(name).toMatch(/^[a-z]+(?:_[a-z]+)*$/);
});

// The compiler rejects an event that is not documented.
it("documents no event that is never logged", async () => {
  const logged = new Set<string>();
  for await (const path of glob(join(ROOT, "src/**/*.ts"))) {
    const source = await readFile(path, "utf8");
    for (const [, name = ""] of source.matchAll(/\bevent: "(\w+)"/g)) logged.add(name);
  }
  expect(Object.keys(LOG_EVENTS).filter((name) => !logged.has(name))).toEqual([]);
});
