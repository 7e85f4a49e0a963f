import { cp, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { installPackage, writeScript, type InstalledPackage } from "../support/package.ts";
import { ROOT } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { runCommand } from "../support/command.ts";

let installed: InstalledPackage;
beforeAll(async () => {
  installed = await installPackage();
}, 120_000);
afterAll(() => installed?.[Symbol.asyncDispose]());

it("the installed package prints its version through npx", async () => {
  const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
    version: string;
  };
  expect(await installed.run("npx", ["idtoken-authz", "--version"])).toBe(`${version}\n`);
});

it("the installed package prints Envoy configs", async () => {
  const url = "--service-url=https://svc-abc123-ew.a.run.app";
  const printed = installed.run("npx", ["idtoken-authz", "envoy", "gateway", url]);
  expect(await printed).toContain("svc-abc123-ew.a.run.app");
});

it("the package depends on nothing but the Node of this platform", async () => {
  const listed = await installed.run("npm", ["ls", "--all", "--parseable"]);
  const packages = listed.trim().split("\n").slice(1);
  expect(packages).toHaveLength(2);
  expect(packages[0]).toMatch(/idtoken-authz$/);
  expect(packages[1]).toMatch(/node-(linux|bin-darwin)-/);
});

/** Runs the launcher without the packaged Node, and with a host's Node that reports this version. */
async function launch(nodeVersion: string, files: readonly string[] = []): Promise<string> {
  await using folder = await makeTemporaryFolder();
  const bin = join(folder.path, "package/bin");
  for (const file of files) {
    await mkdir(join(folder.path, "package", file, ".."), { recursive: true });
    await writeScript(join(folder.path, "package", file), "");
  }
  const path = join(folder.path, "path");
  await mkdir(bin, { recursive: true });
  await mkdir(path);
  await cp(join(ROOT, "bin/idtoken-authz"), join(bin, "idtoken-authz"));
  await writeScript(
    join(path, "node"),
    `[ "$1" = --version ] && echo ${nodeVersion} || echo "started \${1##*/package/} with $2"`,
  );
  const env = { PATH: `${path}:/usr/bin:/bin` };
  return await runCommand(join(bin, "idtoken-authz"), ["first argument"], { env });
}

it("the launcher falls back on the host's Node if it is new enough", async () => {
  expect(await launch("v24.15.0")).toBe("started dist/idtoken-authz.cjs with first argument\n");
});

it("the launcher runs the sources of a checkout, built or not", async () => {
  const files = ["src/main.ts", "dist/idtoken-authz.cjs"];
  expect(await launch("v26.0.0", files)).toBe("started src/main.ts with first argument\n");
});

it.each(["v20.20.2", "nonsense"])(
  "the launcher rejects a host's Node that is %s",
  async (version) => {
    await expect(launch(version)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(`^idtoken-authz needs Node 24 or newer.* has ${version}`),
    });
  },
);
