import { expect, it } from "vitest";
import { parseErrorAnswer } from "../../../src/google/error-answer.ts";

it("parses an error of OAuth", () => {
  const body = JSON.stringify({ error: "invalid_grant", error_description: "Bad signature." });
  expect(parseErrorAnswer(body)).toEqual({
    code: "invalid_grant",
    reason: "",
    description: "Bad signature.",
  });
});

it("parses an error of Google's APIs with its first reason", () => {
  const details = [{ reason: 7 }, { reason: "SERVICE_DISABLED" }, { reason: "OTHER" }];
  const error = { code: 403, status: "PERMISSION_DENIED", message: "The API is off.", details };
  expect(parseErrorAnswer(JSON.stringify({ error }))).toEqual({
    code: "PERMISSION_DENIED",
    reason: "SERVICE_DISABLED",
    description: "The API is off.",
  });
});

it.each([
  "",
  "<!doctype html>",
  "null",
  "[]",
  '"error"',
  '{"error":7}',
  '{"error":{"status":7}}',
  '{"error":"two words"}',
  `{"error":"${"a".repeat(65)}"}`,
])("finds no code in %j", (body) => {
  expect(parseErrorAnswer(body)).toEqual({ code: undefined, reason: "", description: undefined });
});
