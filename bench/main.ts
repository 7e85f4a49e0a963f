import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { replaceTable } from "../test/docs/generated-tables.ts";
import { benchAudiences } from "./audiences.ts";
import { benchCheck } from "./check.ts";
import { benchGateway } from "./gateway.ts";
import { sentence, table, type Line } from "./line.ts";
import { describeMachine } from "./machine.ts";
import { benchShared } from "./shared.ts";
import { benchStart } from "./start.ts";
import { benchTunnel } from "./tunnel.ts";
import type { OnStep } from "./interleave.ts";

/** The benchmarks by NAME. */
const BENCHMARKS = {
  check: { about: "a check against bare node:http and bare Fastify", run: benchCheck },
  gateway: { about: "requests through the gateways; needs Go", run: benchGateway },
  tunnel: {
    about: "bytes, round trips and connections of the tunnels; needs Go",
    run: benchTunnel,
  },
  audiences: { about: "memory, time and the event loop with many audiences", run: benchAudiences },
  shared: {
    about: "one caller beside another's flood, and a policy that changes",
    run: benchShared,
  },
  start: { about: "start time, first token and idle memory of the bundle", run: benchStart },
} satisfies Readonly<
  Record<string, { about: string; run: (onStep: OnStep) => Promise<readonly Line[]> }>
>;
type Name = keyof typeof BENCHMARKS;
const NAMES = Object.keys(BENCHMARKS) as readonly Name[];
/** The document that --write changes. */
const DOCUMENT = join(import.meta.dirname, "../docs/benchmarks.md");

const HELP = `Usage: npm run bench [-- [--write] NAME…]

Runs benchmarks on this machine, alternating between each subject and what it is compared with, and
prints the medians and their spread. NAME is one or more of

${NAMES.map((name) => `  ${name.padEnd(10)} ${BENCHMARKS[name].about}`).join("\n")}

All of them, the default, take about ten minutes on an idle machine. --write writes the table of each
into docs/benchmarks.md. Exits with 0 if everything was measured, whether or not the goals are met.
`;

// An interrupted benchmark leaves no process behind.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.exitCode = await main(process.argv.slice(2));

/** Resolves with the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const request = parse(argv);
  if (typeof request === "string") {
    process.stderr.write(`${request}\n`);
    return 2;
  }
  if (request.help) {
    process.stdout.write(HELP);
    return 0;
  }
  for (const name of request.names) {
    const machine = await describeMachine();
    process.stdout.write(`${name}: ${machine}\n`);
    const lines = await measure(name);
    for (const line of lines) process.stdout.write(`${sentence(line)}\n`);
    if (request.write) {
      const text = `${machine}\n\n${table(lines)}`;
      await writeFile(DOCUMENT, replaceTable(await readFile(DOCUMENT, "utf8"), name, text));
    }
  }
  return 0;
}

/** Parses the flags and names; returns an error message if they are wrong. */
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
    return { help, write, names: positionals.length > 0 ? (positionals as Name[]) : NAMES };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function measure(name: Name): Promise<readonly Line[]> {
  const startedMs = performance.now();
  return BENCHMARKS[name].run((step) => {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(0).padStart(4);
    process.stderr.write(`${seconds} s  ${name}: ${step}\n`);
  });
}
