import { StartError } from "../system/errors.ts";

/** The fields of a credential file, or of an object in it. Never log them. */
export interface Fields {
  /** Only names the file. */
  readonly path: string;
  /** What comes before a field's name in messages, as in `source_credentials.`. */
  readonly prefix: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Parses the fields of a credential file. Throws a StartError that shows nothing of them. */
export function parseFields(content: Buffer, path: string): Fields {
  const json = content
    .toString("utf8")
    .replace(/^\uFEFF/, "")
    .trim();
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
