import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { replaceTable } from "../test/docs/generated-tables.ts";
import { benchAudiences } from "./audiences.ts";
import { benchCheck } from "./check.ts";
import { benchGateway } from "./gateway.ts";
import { sentence, table, type Line } from "./line.ts";
import { describeMachine } from "./machine.ts";
import { benchStart } from "./start.ts";
import { benchTunnel } from "./tunnel.ts";
import type { Tell } from "./turns.ts";

/** What can be measured, by NAME. */
const BENCHMARKS = {
  check: { about: "a check beside bare node:http and bare Fastify", run: benchCheck },
  gateway: { about: "requests through gateway and gateway-push", run: benchGateway },
  tunnel: { about: "bytes, round trips and connections of the tunnels", run: benchTunnel },
  audiences: { about: "memory, time and the event loop with many audiences", run: benchAudiences },
  start: { about: "start time and idle memory of the bundle", run: benchStart },
} satisfies Readonly<
  Record<string, { about: string; run: (tell: Tell) => Promise<readonly Line[]> }>
>;
type Name = keyof typeof BENCHMARKS;
const NAMES = Object.keys(BENCHMARKS) as readonly Name[];
/** The document that --write changes. */
const DOCUMENT = join(import.meta.dirname, "../docs/benchmarks.md");

const HELP = `Usage: npm run bench [-- NAME… | -- --write]

Measures on this machine, each thing by turns with what it is compared with, and prints the medians
and their spread. NAME is one or more of

${NAMES.map((name) => `  ${name.padEnd(10)} ${BENCHMARKS[name].about}`).join("\n")}

All of them take about six minutes, on a machine with nothing else to do. --write puts the table of
all into docs/benchmarks.md. Ends with 0 when all was measured, whether or not the goals are met.
`;

process.exitCode = await main(process.argv.slice(2));

/** Resolves with the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const asked = parse(argv);
  if (typeof asked === "string") {
    process.stderr.write(`${asked}\n`);
    return 2;
  }
  if (asked.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const machine = await describeMachine();
  process.stdout.write(`${machine}\n`);
  const lines = await measure(asked.names);
  if (asked.write) {
    const text = `${machine}\n\n${table(lines)}`;
    await writeFile(DOCUMENT, replaceTable(await readFile(DOCUMENT, "utf8"), "bench", text));
  }
  return 0;
}

/** What is asked for, or what is wrong with it. */
function parse(argv: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { help: { type: "boolean" }, write: { type: "boolean" } },
      allowPositionals: true,
    });
    const { help = false, write = false } = values;
    const unknown = positionals.find((name) => !Object.hasOwn(BENCHMARKS, name));
    if (unknown !== undefined) {
      return `NAME ${JSON.stringify(unknown)}: must be one of ${NAMES.join(", ")}`;
    }
    if (write && positionals.length > 0) return "--write: the table is that of all; name none";
    return { help, write, names: positionals.length > 0 ? (positionals as Name[]) : NAMES };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function measure(names: readonly Name[]): Promise<readonly Line[]> {
  const all: Line[] = [];
  const startedMs = performance.now();
  for (const name of names) {
    const lines = await BENCHMARKS[name].run((step) => {
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(0).padStart(4);
      process.stderr.write(`${seconds} s  ${name}: ${step}\n`);
    });
    for (const line of lines) process.stdout.write(`${sentence(line)}\n`);
    all.push(...lines);
  }
  return all;
}
