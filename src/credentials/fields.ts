import { StartError } from "../system/errors.ts";

/** The fields of a credential file, or of an object in it. Never log them. */
export interface Fields {
  /** The file, as messages name it. */
  readonly path: string;
  /** The prefix of a field's name in messages, as in `source_credentials.`. */
  readonly prefix: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** A string that must not be missing or empty. Throws a StartError. */
export function textField(fields: Fields, name: string): string {
  const value = fields.values[name];
  if (typeof value !== "string" || value === "") throw missing(fields, name);
  return value;
}

/** A string that may be missing. Throws a StartError for a value of another type. */
export function optionalText(fields: Fields, name: string): string | undefined {
  const value = fields.values[name] ?? "";
  if (typeof value !== "string") throw fault(fields, `its ${fields.prefix}${name} is not a string`);
  return value === "" ? undefined : value;
}

/** An object that must not be missing. Throws a StartError. */
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

/** Whether a value from JSON is an object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
