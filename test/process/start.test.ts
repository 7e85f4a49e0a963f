import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServiceAccount } from "../support/service-account.ts";
import { runMain } from "../support/server-process.ts";

let folder = "";
let good = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "start-"));
  good = join(folder, "good.json");
  await createServiceAccount({ tokenUri: "http://127.0.0.1:1/token" }).writeTo(good);
});
afterAll(() => rm(folder, { recursive: true }));

describe("wrong usage", () => {
  it("is reported on standard error, every error on a line, with exit code 2", async () => {
    const argv = ["serve", "--listen", "x", "--wrong", "--impersonate", "someone"];
    const { code, stdout, stderr } = await runMain(argv, { MINT_TIMEOUT: "1h" });
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr.trim().split("\n")).toEqual([
      "--wrong: unknown flag; --help lists the known ones",
      expect.stringMatching(/^--listen "x": must be /),
      expect.stringMatching(/^--impersonate "someone": must be /),
      expect.stringMatching(/^MINT_TIMEOUT "1h": must be /),
    ]);
  });

  it("includes an unknown command", async () => {
    const { code, stderr } = await runMain(["deploy"]);
    expect(code).toBe(2);
    expect(stderr).toContain('"deploy": unknown command');
  });

  it("includes a token_uri that is not allowed", async () => {
    const path = join(folder, "uri.json");
    await createServiceAccount({ tokenUri: "http://oauth2.googleapis.com/token" }).writeTo(path);
    const { code, stderr } = await runMain(["--credentials", path]);
    expect(code).toBe(2);
    expect(stderr).toContain(`${path}: its token_uri`);
  });
});

describe("a proxy variable with an invalid URL", () => {
  it.each([
    "user:secret@proxy:3128",
    "http://us#er:secret@proxy:3128",
    "http://user:100%secret@proxy:3128",
    String.raw`http://us\er:secret@proxy:3128`,
    "http://proxy:3128/secret",
  ])("is named on one line without its value, with exit code 2: %s", async (HTTPS_PROXY) => {
    const flags = ["--credentials", good, "--audience", "https://a.b"];
    const { code, stderr } = await runMain(flags, { HTTPS_PROXY });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^HTTPS_PROXY must be the URL of a proxy, as in .*\n$/);
    expect(stderr).not.toContain("secret");
  });
});

describe("an unusable key file", () => {
  it.each([
    ["missing", undefined, "there is no such file"],
    ["empty", "", "it is empty"],
    [
      "truncated",
      '{"type":"service_account","private_key":"-----BEGIN',
      "it is not JSON, or cut short",
    ],
    ["of another type", '{"type":"gdch_service_account"}', "its type must be service_account"],
  ])(
    "that is %s gives one line with path and reason, and exit code 1",
    async (name, content, reason) => {
      const path = join(folder, `${name}.json`);
      if (content !== undefined) await writeFile(path, content);
      const { code, stdout, stderr } = await runMain(["--credentials", path]);
      expect(code).toBe(1);
      expect(stdout).toBe("");
      expect(stderr).toMatch(/^[^\n]+\n$/);
      expect(stderr).toContain(path);
      expect(stderr).toContain(reason);
      expect(stderr).not.toContain("BEGIN");
    },
  );
});

describe("a port that is taken", () => {
  it("is named in the error, with exit code 1", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const address = other.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const { code, stderr } = await runMain([
      "--credentials",
      good,
      "--listen",
      `127.0.0.1:${port}`,
    ]);
    other.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`127.0.0.1:${port}: cannot listen: the address is already in use`);
  });
});

describe("the program", () => {
  it.each([
    [["--help"]],
    [["serve", "--help"]],
    [["envoy", "--help"]],
    [["certs", "--help"]],
    [["doctor", "--help"]],
  ])("prints help for %j", async (args) => {
    const { code, stdout } = await runMain(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: /);
  });

  it("prints its version for --version", async () => {
    const { code, stdout } = await runMain(["--version"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
