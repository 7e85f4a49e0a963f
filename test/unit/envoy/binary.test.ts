import { chmod, mkdir, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findEnvoy } from "../../../src/envoy/binary.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
beforeAll(async () => {
  folder = await makeTemporaryFolder();
});
afterAll(() => folder?.[Symbol.asyncDispose]());

/** Writes a program that prints a text whatever it is asked; resolves with its path. */
async function writeProgram(place: string, prints: string): Promise<string> {
  const path = join(folder.path, place, "envoy");
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho '${prints}'\n`);
  await chmod(path, 0o755);
  return path;
}

const writeEnvoy = (version: string) =>
  writeProgram(version, `envoy  version: 0a1b2c/${version}/Clean/RELEASE/BoringSSL`);

const find = (options: { readonly named?: string; readonly PATH?: string }) =>
  findEnvoy({
    named: options.named,
    // No place to fetch one into, and nothing to fetch it with.
    env: { PATH: options.PATH ?? "", HOME: join(folder.path, "home") },
    onProgress: () => {},
  });

describe("an Envoy that is named", () => {
  it("is used, and not another one on the PATH", async () => {
    const [named, other] = [await writeEnvoy("1.36.0"), await writeEnvoy("1.40.0")];
    const found = await find({ named, PATH: dirname(other) });
    expect(found).toEqual({ path: named, version: "1.36.0" });
  });

  it("is a file, not a name to look up on the PATH", async () => {
    const other = await writeEnvoy("1.40.0");
    const refused = find({ named: "envoy", PATH: dirname(other) });
    await expect(refused).rejects.toThrow('Envoy "envoy": must be the path of an executable file');
  });

  it("may be a development build", async () => {
    const named = await writeEnvoy("1.41.0-dev");
    expect(await find({ named })).toEqual({ path: named, version: "1.41.0" });
  });

  it.each([
    ["that is missing", async () => "/none/envoy", "must be the path of an executable file"],
    ["that is a folder", async () => folder.path, "must be the path of an executable file"],
    ["that is too old", () => writeEnvoy("1.35.9"), "is 1.35.9, must be 1.36 or newer"],
    ["that is another program", () => writeProgram("other", "1.40.0"), "must be an Envoy, but"],
  ])("is refused with its path and the rule if it is one %s", async (_, write, rule) => {
    const [named, newer] = [await write(), await writeEnvoy("1.40.0")];
    const refused = find({ named, PATH: dirname(newer) });
    await expect(refused).rejects.toThrow(`Envoy ${JSON.stringify(named)}: ${rule}`);
  });
});

describe("an Envoy that is not named", () => {
  it("is the first on the PATH that is new enough", async () => {
    const programs = [
      await writeEnvoy("1.9.0"),
      await writeEnvoy("1.35.9"),
      await writeEnvoy("1.37.2"),
      await writeEnvoy("1.40.0"),
    ];
    const found = await find({ PATH: programs.map(dirname).join(delimiter) });
    expect(found.version).toBe("1.37.2");
  });

  it("is passed over, with a word, if it is too old or does not run", async () => {
    const programs = [
      await writeEnvoy("1.35.0"),
      await writeProgram("broken", "not Envoy"),
      await writeEnvoy("1.36.0"),
    ];
    const lines: string[] = [];
    const PATH = programs.map((path) => dirname(path)).join(delimiter);
    await findEnvoy({ named: undefined, env: { PATH }, onProgress: (line) => lines.push(line) });
    expect(lines).toEqual([
      `${programs[0]} is passed over: 1.35.0`,
      `${programs[1]} is passed over: it does not print Envoy's release`,
    ]);
  });

  it("may be of a major release to come", async () => {
    const path = await writeEnvoy("2.0.0");
    expect(await find({ PATH: dirname(path) })).toEqual({ path, version: "2.0.0" });
  });
});
