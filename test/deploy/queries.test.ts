import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { startGoogle, type Google } from "../support/google.ts";
import { findFreePort } from "../support/loopback.ts";
import { ROOT, startServer, type ServerProcess } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

/** Values for the dashboard's variables. */
const VARIABLES = { $job: ".*", $instance: ".*", $__rate_interval: "10s" };

const dashboard = JSON.parse(
  await readFile(join(ROOT, "deploy/grafana/dashboard.json"), "utf8"),
) as {
  panels: { title: string; targets?: { expr: string }[] }[];
};
const rules = parse(await readFile(join(ROOT, "deploy/prometheus/rules.yaml"), "utf8")) as {
  groups: { rules: { alert: string; expr: string }[] }[];
};
const dashboardQueries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => [title, expr] as const),
);
/** The alerts' expressions without their thresholds, which have a result whether they fire or not. */
const alertQueries = rules.groups.flatMap(({ rules: alerts }) =>
  alerts.map(({ alert, expr }) => [alert, expr.replace(/ [<>] [\d.]+\s*$/, "")] as const),
);

const parts = new AsyncDisposableStack();
let google: Google;
let server: ServerProcess;
let prometheus = "";

beforeAll(async () => {
  google = parts.use(await startGoogle({ services: [] }));
  server = parts.use(
    await startServer([
      `--credentials=${google.keyFile}`,
      "--audience=https://a.run.app",
      "--allow-audience=https://b.run.app",
    ]),
  );
  await server.event("minted");
  prometheus = await startPrometheus(server.address);
  await waitForScrape();
  // Between two scrapes: an allowed and a failed check, a successful and a failed mint.
  await fetch(`${server.url}/check`);
  google.endpoint.setFault({ kind: "status", status: 503 });
  await fetch(`${server.url}/check`, { headers: { "x-id-token-audience": "https://b.run.app" } });
  await waitForScrape();
  await waitForScrape();
});
afterAll(() => parts.disposeAsync());

describe("the dashboard", () => {
  it.each(dashboardQueries)("has data for its panel %s: %s", async (_, expr) => {
    const query = Object.entries(VARIABLES).reduce(
      (q, [name, value]) => q.replaceAll(name, value),
      expr,
    );
    expect(await ask(query)).not.toEqual([]);
  });
});

describe("the alert rules", () => {
  it.each(alertQueries)("have data for %s: %s", async (_, expr) => {
    expect(await ask(expr)).not.toEqual([]);
  });
});

async function ask(query: string): Promise<readonly unknown[]> {
  const response = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(query)}`);
  const answer = (await response.json()) as { error?: string; data: { result: unknown[] } };
  if (answer.error !== undefined) throw new Error(answer.error);
  return answer.data.result;
}

/** Waits until Prometheus has stored one more scrape. */
async function waitForScrape(): Promise<void> {
  const count = async () => {
    const [first] = (await ask("count_over_time(up[1h])")) as { value: [number, string] }[];
    return Number(first?.value[1] ?? 0);
  };
  const before = await count();
  await vi.waitFor(async () => expect(await count()).toBeGreaterThan(before), {
    timeout: 10_000,
    interval: 50,
  });
}

/** Starts a Prometheus that scrapes the address. Resolves with its own URL. */
async function startPrometheus(target: string): Promise<string> {
  const folder = parts.use(await makeTemporaryFolder());
  const config = join(folder.path, "prometheus.yml");
  const job = `{job_name: authz, scrape_interval: 500ms, static_configs: [{targets: ["${target}"]}]}`;
  await writeFile(config, `scrape_configs: [${job}]\n`);
  const port = await findFreePort();
  const child = spawn(
    "prometheus",
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder.path, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const ended = once(child, "close");
  parts.defer(async () => {
    child.kill();
    await ended;
  });
  for await (const line of createInterface(child.stderr)) {
    if (line.includes("Server is ready")) break;
  }
  child.stderr.resume();
  return `http://127.0.0.1:${port}`;
}
