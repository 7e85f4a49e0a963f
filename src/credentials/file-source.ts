import { MintError, StartError } from "../system/errors.ts";
import { showPath } from "../system/show.ts";
import { readAgain } from "../system/small-file.ts";
import { textField, type Fields } from "./fields.ts";
import {
  NoSubjectToken,
  parseTokenFormat,
  subjectTokenIn,
  type SubjectTokenSource,
} from "./subject-token.ts";

/** Creates a source that reads the subject token from a file each time. Throws a StartError. */
export function createFileSource(source: Fields): SubjectTokenSource {
  const path = textField(source, "file");
  const format = parseTokenFormat(source);
  return async () => {
    try {
      const { bytes } = await readAgain(path, "the subject token");
      return { token: subjectTokenIn(bytes.toString("utf8"), format), fetch: undefined };
    } catch (error) {
      throw new MintError("mint_unavailable", explain(error, path));
    }
  };
}

function explain(error: unknown, path: string): string {
  if (error instanceof StartError) {
    return `${error.message}: check credential_source.file, and that what writes it is running`;
  }
  if (!(error instanceof NoSubjectToken)) throw error;
  return `${showPath(path)}: there is no subject token in it: ${error.message}`;
}
