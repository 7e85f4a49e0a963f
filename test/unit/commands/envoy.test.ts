import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { envoyCommand, envoyHelp } from "../../../src/commands/envoy.ts";
import { envoyConfigNames } from "../../../src/envoy/configs.ts";
import { renderEnvoyConfig } from "../../../src/envoy/render.ts";
import { secretFiles } from "../../../src/envoy/secret-files.ts";
import { parseEnvoyFlags } from "../../../src/settings/envoy.ts";
import { UsageError } from "../../../src/system/errors.ts";

const ARGV = ["gateway", "--service-url=https://svc-abc123-ew.a.run.app"];

/** Runs the command and returns what it printed. */
async function run(argv: readonly string[]) {
  const printed = { stdout: "", stderr: "" };
  const code = await envoyCommand(
    argv,
    {},
    {
      stdout: (text) => void (printed.stdout += text),
      stderr: (text) => void (printed.stderr += text),
    },
  );
  return { code, ...printed };
}

describe("envoyCommand", () => {
  it("prints the config and resolves with 0", async () => {
    const { name, options } = parseEnvoyFlags(ARGV, {});
    const { text } = renderEnvoyConfig(name, options);
    expect(await run(ARGV)).toEqual({ code: 0, stdout: text, stderr: "" });
  });

  it("says on standard error what an older Envoy lacks", async () => {
    const { code, stderr } = await run([...ARGV, "--envoy-version=1.38.3"]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^Envoy 1\.38 has no stream_reset_burst and .*\.\n$/);
  });

  it("says on standard error that a traffic tag is not part of the audience", async () => {
    const tagged = ["gateway", "--service-url=https://canary---svc-abc123-ew.a.run.app"];
    const { code, stdout, stderr } = await run(tagged);
    expect(code).toBe(0);
    expect(stdout).toContain("canary---svc-abc123-ew.a.run.app");
    expect(stdout).not.toContain("https://canary---");
    expect(stderr).toBe(
      "the audience is https://svc-abc123-ew.a.run.app: Cloud Run accepts tokens for the service's " +
        "own URL, without the traffic tag\n",
    );
  });

  it("says on standard error who can reach an address that is not loopback", async () => {
    const service = "--service-url=https://svc-abc123-ew.a.run.app";
    const exposed = ["--listen=0.0.0.0:9090", "--admin=192.0.2.1:9901"];
    const { stderr } = await run(["gateway", service, ...exposed]);
    expect(stderr.split("\n")).toEqual([
      "--listen 0.0.0.0:9090 is not a loopback address: anyone who can reach it can use the service",
      expect.stringMatching(/^--admin 192\.0\.2\.1:9901 is not a loopback address: .* stop it$/),
      "",
    ]);
    const loopback = ["--listen=[::1]:9090", "--admin=localhost:9901"];
    expect((await run(["gateway", service, ...loopback])).stderr).toBe("");
  });

  it("follows the certificates if their folder has the files for it, or if told", async () => {
    const folder = await mkdtemp(join(tmpdir(), "envoy-"));
    const argv = ["tunnel-server", `--cert-dir=${folder}`];
    const follows = async (...flags: readonly string[]) =>
      (await run([...argv, ...flags])).stdout.includes(`${folder}/server.sds.yaml`);
    expect([await follows(), await follows("--reload-certs")]).toEqual([false, true]);
    for (const { name, text } of secretFiles(folder)) await writeFile(join(folder, name), text);
    expect([await follows(), await follows("--reload-certs=off")]).toEqual([true, false]);
    await rm(folder, { recursive: true });
  });

  it("prints nothing if a flag is wrong", async () => {
    const stdout = vi.fn<(text: string) => void>();
    const result = envoyCommand(["gateway", "--audience="], {}, { stdout, stderr: stdout });
    await expect(result).rejects.toThrow(UsageError);
    expect(stdout).not.toHaveBeenCalled();
  });
});

describe("envoyHelp", () => {
  it("names every config", () => {
    for (const name of envoyConfigNames) expect(envoyHelp([])).toContain(`  ${name}\n`);
  });

  it("lists only the flags of a config that is named, with its own defaults", () => {
    const help = envoyHelp(["gateway-any", "--help"]);
    expect(help).toContain("--listen HOST:PORT  (default 127.0.0.1:9090)");
    expect(help).toContain("--envoy-version");
    expect(help).not.toContain("--service-url");
    expect(envoyHelp(["nonsense", "--help"])).toBe(envoyHelp(["--help"]));
  });
});
