import { expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { createLogger, type LogLevel } from "../../../src/telemetry/logger.ts";

function setUp(level: LogLevel) {
  const written: string[] = [];
  const log = createLogger(level, { write: (line) => written.push(line) });
  return { log, written };
}

it("writes one JSON object per line, with level, time, event and message", () => {
  const { log, written } = setUp("info");
  log.info({ event: "minted", audience: "a\nb" }, "minted an ID token");
  expect(written).toHaveLength(1);
  expect(written[0]).toMatch(/^[^\n]+\n$/);
  expect(JSON.parse(written[0] ?? "")).toEqual({
    level: "info",
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    event: "minted",
    audience: "a\nb",
    msg: "minted an ID token",
  });
});

it("logs an error's name, code and message, and neither its cause nor its stack", () => {
  const { log, written } = setUp("info");
  const cause = new Error("the request held assertion=eyJ");
  const error = new MintError("mint_rejected", "refused", { cause });
  log.error({ event: "mint_failed", err: error }, "cannot mint an ID token");
  log.error({ event: "mint_failed", err: "a string" }, "cannot mint an ID token");
  const [first, second] = written.map((line) => JSON.parse(line));
  expect(first.err).toEqual({ name: "MintError", code: "mint_rejected", message: "refused" });
  expect(second.err).toEqual({ name: "string" });
});

it("leaves out lines below its level", () => {
  const { log, written } = setUp("warn");
  log.info({ event: "stopped" }, "stopped");
  log.warn({ event: "no_audience" }, "no audience");
  expect(written).toHaveLength(1);
});
