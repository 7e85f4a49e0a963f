import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runMain, runOrThrow } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const ARGS = ["envoy", "tunnel-client", "--service-url=https://tunnel-abc123-ew.a.run.app"];

describe("envoy --output", () => {
  it("writes what would have been printed", async () => {
    await using folder = await makeTemporaryFolder();
    const path = join(folder.path, "envoy.yaml");
    expect(await runOrThrow([...ARGS, `--output=${path}`])).toBe("");
    expect(await readFile(path, "utf8")).toBe(await runOrThrow(ARGS));
  });

  it("names the file that it cannot write, with exit code 1", async () => {
    await using folder = await makeTemporaryFolder();
    const path = join(folder.path, "missing/envoy.yaml");
    const { code, stderr } = await runMain([...ARGS, `--output=${path}`]);
    expect(code).toBe(1);
    expect(stderr).toContain(path);
  });
});
