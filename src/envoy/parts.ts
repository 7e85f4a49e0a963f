import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The files of `parts/` by name, in the bundled program only. */
declare const ENVOY_PARTS: Readonly<Record<string, string>> | undefined;

/**
 * The text of a file in `parts/`, for example `gateway.yaml`. Throws an Error if there is no such
 * file.
 */
export function readPart(file: string): string {
  if (typeof ENVOY_PARTS === "undefined") {
    return readFileSync(join(import.meta.dirname, "parts", file), "utf8");
  }
  const text = ENVOY_PARTS[file];
  if (text === undefined) throw new Error(`no part ${file}`);
  return text;
}
