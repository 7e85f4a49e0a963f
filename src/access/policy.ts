import { LineCounter, parseDocument, visit, type Document } from "yaml";
import { UsageError } from "../system/errors.ts";
import { quote, showPath } from "../system/show.ts";
import { parseAudiencePattern } from "./audience.ts";
import { createMatcher, parseCallerPattern } from "./pattern.ts";
import {
  formatPath,
  offsetOf,
  readFields,
  readList,
  readText,
  readTexts,
  type Path,
  type Report,
} from "./yaml-fields.ts";

/** One kind of caller: what it may have, and as whom. */
export interface PolicyCaller {
  /** Whether `name` is of the client itself or of a principal that a trusted client attests. */
  readonly kind: "client" | "principal";
  /** Exact or with `*`. The log and the metrics name the caller so. */
  readonly name: string;
  /** Exact or with `*`; the first is the default if it is exact. */
  readonly audiences: readonly string[];
  /** The account to impersonate; undefined for the server's own. */
  readonly account: string | undefined;
}

/** A policy that is valid as a whole. */
export interface Policy {
  readonly callers: readonly PolicyCaller[];
  /** Clients, exact or with `*`, that are trusted to attest the principal behind them. */
  readonly principalsFrom: readonly string[];
}

/** What is wrong, and where in the text. */
interface Fault {
  readonly offset: number;
  readonly message: string;
}

/**
 * Parses a policy file (YAML 1.2); `parseAccount` brings what `impersonate` names into one form and
 * throws an Error whose message is the rule. Throws a UsageError that lists every fault with its line.
 */
export function parsePolicy(
  text: string,
  file: string,
  parseAccount: (text: string) => string,
): Policy {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const faults: Fault[] = document.errors.map(({ pos: [offset], message }) => ({
    offset,
    message,
  }));
  const report: Report = (path, rule, value) => {
    const shown = typeof value === "string" ? ` ${quote(value)}` : "";
    const message = `${formatPath(path)}${shown}: ${rule}`;
    faults.push({ offset: offsetOf(document, path), message });
  };
  const root = faults.length === 0 ? resolveAliases(document, faults) : {};
  const policy = readPolicy(root, faults.length === 0 ? report : () => {}, parseAccount);
  if (faults.length === 0) return policy;
  const lines = faults
    .toSorted((one, other) => one.offset - other.offset)
    .map(
      ({ offset, message }) => `${showPath(file)}:${lineCounter.linePos(offset).line}: ${message}`,
    );
  throw new UsageError(lines);
}

/** The document's value. Adds a fault for what its aliases cannot stand for. */
function resolveAliases(document: Document, faults: Fault[]): unknown {
  visit(document, {
    Alias: (_key, alias) => {
      if (alias.resolve(document) !== undefined) return;
      const message = `${quote(`*${alias.source}`)}: a text that begins with * must be in quotes`;
      faults.push({ offset: alias.range?.[0] ?? 0, message });
    },
  });
  if (faults.length > 0) return {};
  try {
    return document.toJS();
  } catch {
    faults.push({ offset: 0, message: "the policy: its aliases stand for too many values" });
    return {};
  }
}

function readPolicy(root: unknown, report: Report, parseAccount: (text: string) => string): Policy {
  const fields = readFields(root, [], ["callers", "principals_from"], report);
  const entries = readList(fields["callers"], ["callers"], report);
  const callers = entries.flatMap((entry, index) => {
    const caller = readCaller(entry, ["callers", index], report, parseAccount);
    return caller === undefined ? [] : [{ ...caller, index }];
  });
  const trusted = fields["principals_from"];
  const principalsFrom =
    trusted === undefined
      ? []
      : readTexts(trusted, ["principals_from"], report, parseCallerPattern);
  const attests = createMatcher(principalsFrom);
  for (const [position, { kind, name, index }] of callers.entries()) {
    const isSame = (other: (typeof callers)[number]) => other.kind === kind && other.name === name;
    if (callers.findIndex(isSame) !== position) {
      report(["callers", index, kind], "is listed already", name);
    }
    if (kind === "principal" && trusted === undefined) {
      report(["callers", index, kind], "counts only if principals_from names who attests it", name);
    }
    if (kind === "client" && attests(name)) {
      report(
        ["callers", index, kind],
        "is in principals_from, so that only principals count",
        name,
      );
    }
  }
  return { callers: callers.map(({ index: _index, ...caller }) => caller), principalsFrom };
}

function readCaller(
  entry: unknown,
  path: Path,
  report: Report,
  parseAccount: (text: string) => string,
): PolicyCaller | undefined {
  const known = ["client", "principal", "audiences", "impersonate"];
  const fields = readFields(entry, path, known, report);
  const kind = "principal" in fields ? "principal" : "client";
  if ("principal" in fields === "client" in fields) {
    report(path, "must have either client or principal");
  }
  const read = <T>(name: string, parse: (text: string) => T) =>
    name in fields ? readText(fields[name], [...path, name], report, parse) : undefined;
  const name = read(kind, parseCallerPattern);
  const account = read("impersonate", parseAccount);
  const audiences = readTexts(
    fields["audiences"],
    [...path, "audiences"],
    report,
    parseAudiencePattern,
  );
  if (name === undefined) return undefined;
  return { kind, name, audiences, account };
}
