import { expect, it } from "vitest";
import { parseAccessLogLine, parseLogLine } from "../../../src/envoy/log-line.ts";

it.each([
  ["warning|upstream|gone", { level: "warn", text: "upstream: gone" }],
  ["error|config|a|b", { level: "error", text: "config: a|b" }],
  ["critical|main|", { level: "fatal", text: "main: " }],
  [
    String.raw`error|main|cannot bind \'127.0.0.1:80\'\tnow`,
    { level: "error", text: String.raw`main: cannot bind '127.0.0.1:80'\tnow` },
  ],
])("reads %s with its level and its logger", (line, expected) => {
  expect(parseLogLine(line)).toEqual(expected);
});

it("takes a warning of the field that every gateway uses for no more than information", () => {
  const text = String.raw`field \\'a.allow_custom_methods\\' is marked as work-in-progress. API`;
  expect(parseLogLine(`warning|misc|${text}`)).toEqual({
    level: "info",
    text: "misc: field 'a.allow_custom_methods' is marked as work-in-progress. API",
  });
  expect(parseLogLine("warning|misc|field 'a.other' is marked as work-in-progress").level).toBe(
    "warn",
  );
});

it.each(["envoy: error while loading shared libraries: libm.so.6", "", "warning", "loud|main|x"])(
  "takes any other line, such as %j, for an error as it is",
  (line) => {
    expect(parseLogLine(line)).toEqual({ level: "error", text: line });
  },
);

it("reads a line of the access log as a warning without its own time", () => {
  expect(parseAccessLogLine("[2026-01-01T00:00:00.000Z] request failed: status=503")).toEqual({
    level: "warn",
    text: "request failed: status=503",
  });
});
