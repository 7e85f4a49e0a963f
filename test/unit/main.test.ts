import { describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { runMain } from "../support/server-process.ts";

describe("the program", () => {
  it("prints its version for --version, after a command as well", async () => {
    for (const args of [["--version"], ["doctor", "--version"]]) {
      expect(await runMain(args)).toEqual({
        code: 0,
        stdout: `${manifest.version}\n`,
        stderr: "",
      });
    }
  });

  it("prints the list of commands for --help, and a command's own help after its name", async () => {
    const { code, stdout } = await runMain(["--help"]);
    expect(code).toBe(0);
    const commands = [...stdout.matchAll(/^ {2}(\w+) {2}/gm)].map(([, name = ""]) => name);
    expect(commands.length).toBeGreaterThan(3);
    for (const command of commands) {
      const help = await runMain([command, "--help"]);
      expect(help).toMatchObject({ code: 0, stderr: "" });
      expect(help.stdout).toMatch(new RegExp(`^Usage: idtoken-authz ${command}\\b`));
    }
  });

  it("takes flags without a command as those of serve", async () => {
    const { code, stderr } = await runMain(["--listen=x"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^--listen "x": must be /);
  });

  it("exits with 2 for an unknown command", async () => {
    expect(await runMain(["deploy"])).toEqual({
      code: 2,
      stdout: "",
      stderr: '"deploy": unknown command; --help lists the known ones\n',
    });
  });

  it("exits with 1 for what cannot be done", async () => {
    const { code, stderr } = await runMain(["serve", "--credentials=/no/such/key.json"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^\/no\/such\/key\.json: [^\n]+\n$/);
  });
});
