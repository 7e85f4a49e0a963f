import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { envoyConfigNames } from "../../src/envoy/configs.ts";
import { findEnvoy, findOlderEnvoy, OLDER_ENVOYS } from "../support/envoy-binary.ts";
import { runMain, runOrThrow } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const run = promisify(execFile);
const parts = new AsyncDisposableStack();
let folder = "";
let certDir = "";

beforeAll(async () => {
  folder = parts.use(await makeTemporaryFolder()).path;
  certDir = join(folder, "certs");
  await runOrThrow(["certs", certDir]);
});
afterAll(() => parts.disposeAsync());

/** Lets Envoy validate a config and returns its output. Rejects with Envoy's error. */
async function validate(config: string, binary: string): Promise<string> {
  const path = join(folder, "envoy.yaml");
  await writeFile(path, config);
  const flags = ["--mode", "validate", "--disable-hot-restart", "-c", path];
  const { stdout, stderr } = await run(binary, flags);
  return stdout + stderr;
}

const SERVICE = ["--service-url", "https://tunnel-abc123-ew.a.run.app"];
const CASES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "tunnel-client": [
    SERVICE,
    [...SERVICE, "--streams-per-tunnel", "1"],
    [...SERVICE, "--reload-certs=off"],
    [...SERVICE, "--authz", "unix:/run/authz.sock", "--listen", "[::1]:7777"],
    [...SERVICE, "--authz", "authz.internal:8080", "--connect-to", "10.0.0.1:8443"],
  ],
  "tunnel-client-push": [
    SERVICE,
    [...SERVICE, "--streams-per-tunnel", "20"],
    [...SERVICE, "--authz", "unix:/run/authz.sock"],
  ],
  "tunnel-client-public": [SERVICE, [...SERVICE, "--admin", "127.0.0.1:9901"]],
  gateway: [SERVICE, [...SERVICE, "--authz", "unix:/run/authz.sock", "--listen", "[::1]:9090"]],
  "gateway-any": [[], ["--connect-to", "10.0.0.1:443"], ["--allow-private-addresses"]],
  "gateway-push": [SERVICE, [...SERVICE, "--authz", "authz.internal:8080"]],
  "tunnel-server": [
    [],
    ["--relay", "127.0.0.1:7778"],
    ["--reload-certs=off"],
    ["--port", "9000", "--target", "db.internal:5432"],
  ],
};

/** Collects the values of a key anywhere in a config. */
function valuesOf(config: string, wanted: string): readonly unknown[] {
  const values: unknown[] = [];
  JSON.parse(JSON.stringify(parse(config, { merge: true })), (key, value: unknown) => {
    if (key === wanted) values.push(value);
    return value;
  });
  return values;
}

describe("every config in envoy/", () => {
  it("is tested here", () => {
    expect(Object.keys(CASES).sort()).toEqual([...envoyConfigNames].sort());
  });

  it.each(
    Object.entries(CASES).flatMap(([name, flags]) => flags.map((each) => ({ name, flags: each }))),
  )("is accepted by Envoy: $name $flags", async ({ name, flags }) => {
    const certs = name.startsWith("tunnel") ? ["--cert-dir", certDir] : [];
    const config = await runOrThrow(["envoy", name, ...certs, ...flags]);
    expect(await validate(config, await findEnvoy())).toContain("OK");
  });

  it.each(["tunnel-client", "gateway"])(
    "answers 503 when no check is possible and never sends a request on without one: %s",
    async (name) => {
      const config = await runOrThrow(["envoy", name, ...SERVICE]);
      expect(valuesOf(config, "failure_mode_allow")).toEqual([false]);
      expect(valuesOf(config, "status_on_error")).toEqual([{ code: "ServiceUnavailable" }]);
    },
  );

  it.each([
    ["gateway-push", []],
    // An upstream filter cannot report a denial to a TCP client, so Cloud Run denies the request.
    ["tunnel-client-push", [true]],
  ])("sends a request without a token only where it must: %s %j", async (name, allowed) => {
    const config = await runOrThrow(["envoy", name, ...SERVICE]);
    expect(valuesOf(config, "allow_request_without_credential")).toEqual(allowed);
  });
});

describe("every config in envoy/ for an older Envoy", () => {
  beforeAll(async () => {
    // The first run on a machine downloads them.
    for (const version of OLDER_ENVOYS) await findOlderEnvoy(version);
  }, 600_000);

  it.each(OLDER_ENVOYS.flatMap((version) => envoyConfigNames.map((name) => ({ version, name }))))(
    "is accepted by Envoy $version: $name",
    async ({ version, name }) => {
      const certs = name.startsWith("tunnel") ? ["--cert-dir", certDir] : [];
      const [flags = []] = CASES[name] ?? [];
      const argv = ["envoy", name, ...certs, ...flags, `--envoy-version=${version}`];
      const output = await validate(await runOrThrow(argv), await findOlderEnvoy(version));
      expect(output).toContain("OK");
      expect(output).not.toMatch(/envoy_bug|deprecated/i);
    },
  );
});

describe("envoy NAME with wrong flags", () => {
  it("prints no config, lists every error on standard error and exits with 2", async () => {
    const flags = ["--service-url", "http://x", "--listen", "here:99999", "--authz", "a b:1"];
    const { code, stdout, stderr } = await runMain(["envoy", "tunnel-client", ...flags]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.trim().split("\n")).toEqual([
      expect.stringMatching(/^--service-url "http:\/\/x": must be https:/),
      expect.stringMatching(/^--listen "here:99999": must be a port/),
      expect.stringMatching(/^--authz "a b:1": must be HOST:PORT/),
    ]);
  });
});
