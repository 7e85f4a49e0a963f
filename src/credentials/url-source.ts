import { requireOk, send, type Peer } from "../google/exchange.ts";
import { MintError } from "../system/errors.ts";
import { fault, objectField, type Fields } from "./fields.ts";
import {
  NoSubjectToken,
  parseTokenFormat,
  subjectTokenIn,
  type SubjectTokenSource,
} from "./subject-token.ts";

/** Creates a source that asks a URL for the subject token each time. Throws a StartError. */
export function createUrlSource(source: Fields, url: URL): SubjectTokenSource {
  const headers = parseHeaders(source);
  const format = parseTokenFormat(source);
  const peer: Peer = { name: `the identity provider at ${url.host}` };
  return async (signal) => {
    const { body } = requireOk(await send(url, { headers }, signal, peer), peer);
    try {
      return { token: subjectTokenIn(body, format), fetch: undefined };
    } catch (error) {
      if (!(error instanceof NoSubjectToken)) throw error;
      const where = `the answer of ${url.origin}${url.pathname}`;
      throw new MintError(
        "mint_invalid_answer",
        `${where}: there is no subject token in it: ${error.message}`,
      );
    }
  };
}

function parseHeaders(source: Fields): Record<string, string> {
  if (source.values["headers"] === undefined) return {};
  const { prefix, values } = objectField(source, "headers");
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (typeof value !== "string") throw fault(source, `its ${prefix}${name} is not a string`);
      return [name, value];
    }),
  );
}
