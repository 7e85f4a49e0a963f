import { isNode, type Document } from "yaml";

/** The fields of a mapping. */
export type Fields = Readonly<Record<string, unknown>>;
/** The way to a value in a document, as in `callers`, 0, `client`. */
export type Path = readonly (string | number)[];
/** Reports that the value at the path breaks a rule. */
export type Report = (path: Path, rule: string, value?: unknown) => void;

/** Reads a mapping that has no other fields than the known ones. */
export function readFields(
  value: unknown,
  path: Path,
  known: readonly string[],
  report: Report,
): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    report(path, `must be a mapping with ${known.join(", ")}`);
    return {};
  }
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) report([...path, name], `is unknown; known are ${known.join(", ")}`);
  }
  return value as Fields;
}

/** Reads a list with at least one entry. */
export function readList(value: unknown, path: Path, report: Report): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0) return value;
  report(path, "must be a list with at least one entry");
  return [];
}

/** Reads a list of texts; what `parse` throws is the rule that one breaks. */
export function readTexts<T>(
  value: unknown,
  path: Path,
  report: Report,
  parse: (text: string) => T,
): readonly T[] {
  return readList(value, path, report).flatMap((entry, index) => {
    const parsed = readText(entry, [...path, index], report, parse);
    return parsed === undefined ? [] : [parsed];
  });
}

/** Reads a text; what `parse` throws is the rule that it breaks. */
export function readText<T>(
  value: unknown,
  path: Path,
  report: Report,
  parse: (text: string) => T,
): T | undefined {
  try {
    if (typeof value !== "string") throw new Error("must be a text");
    return parse(value);
  } catch (error) {
    report(path, error instanceof Error ? error.message : String(error), value);
    return undefined;
  }
}

/** As in `callers[0].audiences[1]`. */
export function formatPath(path: Path): string {
  if (path.length === 0) return "the policy";
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
    .join("")
    .slice(1);
}

/** Where the value at the path is, or else what it should be in. */
export function offsetOf(document: Document, path: Path): number {
  const node: unknown = document.getIn(path, true);
  if (isNode(node) && node.range) return node.range[0];
  return path.length === 0 ? 0 : offsetOf(document, path.slice(0, -1));
}
