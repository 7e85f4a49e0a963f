import { describe, expect, it } from "vitest";
import {
  NoSubjectToken,
  parseTokenFormat,
  subjectTokenIn,
} from "../../../src/credentials/subject-token.ts";
import { StartError } from "../../../src/system/errors.ts";

const source = (values: Readonly<Record<string, unknown>>) => ({
  path: "key.json",
  prefix: "credential_source.",
  values,
});

describe("parseTokenFormat", () => {
  it("takes the whole text unless the format is JSON", () => {
    expect(parseTokenFormat(source({}))).toBeUndefined();
    expect(parseTokenFormat(source({ format: {} }))).toBeUndefined();
    expect(parseTokenFormat(source({ format: { type: "text" } }))).toBeUndefined();
    const format = { type: "json", subject_token_field_name: "id" };
    expect(parseTokenFormat(source({ format }))).toEqual({ field: "id" });
  });

  it.each([{ type: "xml" }, { type: "json" }, { type: "json", subject_token_field_name: 5 }])(
    "refuses %j",
    (format) => {
      expect(() => parseTokenFormat(source({ format }))).toThrow(StartError);
    },
  );
});

describe("subjectTokenIn", () => {
  it("trims the text, or returns the field", () => {
    expect(subjectTokenIn(" token\n", undefined)).toBe("token");
    expect(subjectTokenIn('{"id":"token"}', { field: "id" })).toBe("token");
  });

  it.each([
    ["", undefined, "it is empty"],
    ['{"id":""}', { field: "id" }, "it is empty"],
    ["secret", { field: "id" }, "it is not JSON, as credential_source.format says"],
    ["[]", { field: "id" }, /its field "id", .* is missing/],
    ['{"id":5}', { field: "id" }, /its field "id", .* is not a string/],
  ] as const)("finds none in %j by the format %j", (text, format, reason) => {
    expect(() => subjectTokenIn(text, format)).toThrow(NoSubjectToken);
    expect(() => subjectTokenIn(text, format)).toThrow(reason);
  });
});
