import { open } from "node:fs/promises";
import { codeOf, StartError } from "../system/errors.ts";

/** The fields of a credential file, or of an object in it. Never log them. */
export interface Fields {
  /** Only names the file. */
  readonly path: string;
  /** What comes before a field's name in messages, as in `source_credentials.`. */
  readonly prefix: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Real credential files are about 2.4 KB. */
const MAX_FILE_BYTES = 65_536;

/** Reads a credential file's text. Throws a StartError of one line with the path and the reason. */
export async function readCredentialText(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size > MAX_FILE_BYTES) {
      throw fault({ path }, `it has ${size} bytes, a credential file at most ${MAX_FILE_BYTES}`);
    }
    return await file.readFile("utf8");
  } catch (cause) {
    if (cause instanceof StartError) throw cause;
    const code = codeOf(cause) ?? "unknown error";
    throw fault({ path }, READ_FAULTS[code] ?? `it cannot be read (${code})`);
  }
}

const READ_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "permission to read it is denied",
  EISDIR: "it is a directory",
};

/** Reads the fields from a credential file's text. Throws a StartError that shows none of it. */
export function parseFields(text: string, path: string): Fields {
  const json = text.replace(/^\uFEFF/, "").trim();
  if (json === "") throw fault({ path }, "it is empty");
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // The parser's own message would quote the file.
    throw fault({ path }, "it is not JSON, or cut short");
  }
  if (!isObject(value)) throw fault({ path }, "it is not a JSON object");
  return { path, prefix: "", values: value };
}

/** A text that must be there. Throws a StartError. */
export function textField(fields: Fields, name: string): string {
  const value = fields.values[name];
  if (typeof value !== "string" || value === "") throw missing(fields, name);
  return value;
}

/** A text that may be left out. Throws a StartError for a value that is no text. */
export function optionalText(fields: Fields, name: string): string | undefined {
  const value = fields.values[name] ?? "";
  if (typeof value !== "string") throw fault(fields, `its ${fields.prefix}${name} is no text`);
  return value === "" ? undefined : value;
}

/** An object that must be there. Throws a StartError. */
export function objectField(fields: Fields, name: string): Fields {
  const value = fields.values[name];
  if (!isObject(value)) throw missing(fields, name);
  return { path: fields.path, prefix: `${fields.prefix}${name}.`, values: value };
}

/** Why the file is no usable credential; the reason shows nothing secret. */
export function fault({ path }: Pick<Fields, "path">, reason: string): StartError {
  return new StartError(`${path}: no usable credential: ${reason}`);
}

function missing(fields: Fields, name: string): StartError {
  return fault(fields, `its ${fields.prefix}${name} is missing`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
