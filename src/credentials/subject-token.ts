import type { Fetch } from "../system/fetch.ts";
import { quote } from "../system/show.ts";
import { fault, isObject, objectField, textField, type Fields } from "./fields.ts";

/** What an identity provider says of this workload. Never log it. */
export interface SubjectToken {
  readonly token: string;
  /** How requests with the token are sent, if they need connections of their own. */
  readonly fetch: Fetch | undefined;
}

/** Obtains a subject token. Rejects with a MintError. */
export type SubjectTokenSource = (signal: AbortSignal) => Promise<SubjectToken>;

/** Where a subject token is in a text: in a field of its JSON, or undefined for the whole text. */
export type TokenFormat = { readonly field: string } | undefined;

/** A text contains no subject token. The message says why and shows nothing of the text. */
export class NoSubjectToken extends Error {}

/** Parses the `format` of a `credential_source`. Throws a StartError. */
export function parseTokenFormat(source: Fields): TokenFormat {
  if (source.values["format"] === undefined) return undefined;
  const format = objectField(source, "format");
  const type = format.values["type"] ?? "text";
  if (type === "text") return undefined;
  if (type === "json") return { field: textField(format, "subject_token_field_name") };
  throw fault(source, `its ${format.prefix}type must be text or json`);
}

/** Finds the subject token in a text. Throws a NoSubjectToken. */
export function subjectTokenIn(text: string, format: TokenFormat): string {
  const token = (format === undefined ? text : fieldOf(text, format.field)).trim();
  if (token === "") throw new NoSubjectToken("it is empty");
  return token;
}

function fieldOf(text: string, field: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text.
    throw new NoSubjectToken("it is not JSON, as credential_source.format says");
  }
  const token = isObject(value) ? value[field] : undefined;
  if (typeof token === "string") return token;
  const subject = `its field ${quote(field)}, which credential_source.format names,`;
  throw new NoSubjectToken(`${subject} is ${token === undefined ? "missing" : "not a string"}`);
}
