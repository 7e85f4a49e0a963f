import { describe, expect, it } from "vitest";
import { envoyCommand, envoyHelp } from "../../../src/commands/envoy.ts";
import { envoyConfigNames, renderEnvoyConfig } from "../../../src/envoy/configs.ts";
import { parseEnvoyFlags } from "../../../src/settings/envoy.ts";
import { UsageError } from "../../../src/system/errors.ts";

describe("envoyCommand", () => {
  it("prints the config and resolves with 0", async () => {
    const printed: string[] = [];
    const argv = ["gateway", "--service-url=https://svc-abc123-ew.a.run.app"];
    expect(await envoyCommand(argv, { stdout: (text) => printed.push(text) })).toBe(0);
    const { name, options } = parseEnvoyFlags(argv);
    expect(printed).toEqual([renderEnvoyConfig(name, options)]);
  });

  it("prints nothing if a flag is wrong", async () => {
    const printed: string[] = [];
    const stdout = (text: string) => printed.push(text);
    const result = envoyCommand(["gateway", "--audience="], { stdout });
    await expect(result).rejects.toThrow(UsageError);
    expect(printed).toEqual([]);
  });
});

describe("envoyHelp", () => {
  it("names every config", () => {
    for (const name of envoyConfigNames) expect(envoyHelp()).toContain(`  ${name}\n`);
  });
});
