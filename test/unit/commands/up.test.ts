import { expect, it } from "vitest";
import { upCommand, upHelp } from "../../../src/commands/up.ts";
import { upConfigNames, upSettingsForHelp } from "../../../src/settings/up.ts";
import { UsageError } from "../../../src/system/errors.ts";

it("the help has every config and flag and fits 100 columns", () => {
  const help = upHelp([]);
  for (const name of upConfigNames) expect(help).toContain(`  ${name}\n`);
  for (const { flag } of Object.values(upSettingsForHelp([]))) expect(help).toContain(`--${flag}`);
  expect(Math.max(...help.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
});

it("the help of one config has its own flags and default, and those of serve", () => {
  const help = upHelp(["gateway", "--help"]);
  expect(help).toContain("--listen HOST:PORT  (default 127.0.0.1:9090)");
  expect(help).toContain("--token-header NAME");
  expect(help).toContain("--allow-origin");
  expect(help).not.toContain("--cert-dir");
});

it("wrong flags are a UsageError, before any step", async () => {
  const steps: string[] = [];
  const stderr = (text: string) => void steps.push(text);
  await expect(upCommand(["gateway", "--wrong"], {}, { stderr })).rejects.toThrow(UsageError);
  expect(steps).toEqual([]);
});
