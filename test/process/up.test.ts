import { readdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { findEnvoy } from "../support/envoy-binary.ts";
import { API_AUDIENCE, API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { listenOnLoopback } from "../support/loopback.ts";
import { ROOT, runMain } from "../support/server-process.ts";
import { createServiceAccount } from "../support/service-account.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startUp } from "../support/up.ts";

const FORBIDDEN_HOST = "closed-abc123-ew.a.run.app";
const FAILING_HOST = "failing-abc123-ew.a.run.app";
const PUBLIC_HOST = "public-abc123-ew.a.run.app";

const parts = new AsyncDisposableStack();
let google: Google;
let envoy = "";

beforeAll(async () => {
  envoy = await findEnvoy();
  const container = parts.use(
    await startHttpService({
      request: (request, response) => {
        response.statusCode = request.headers.host === FAILING_HOST ? 500 : 200;
        response.end();
      },
    }),
  );
  const service = (host: string, invokers?: readonly string[]) => ({
    host,
    audiences: [`https://${host}`],
    ...(invokers && { invokers }),
    ...container,
  });
  google = parts.use(
    await startGoogle({
      services: [
        service(API_HOST),
        service(FAILING_HOST),
        service(FORBIDDEN_HOST, []),
        { ...service(PUBLIC_HOST), public: true },
      ],
    }),
  );
});
afterAll(() => parts.disposeAsync());

/** Runs `up gateway`, which must fail to start; returns the last line on standard error. */
async function fail(
  flags: readonly string[],
  env: NodeJS.ProcessEnv = { ENVOY_BIN: envoy },
  host = API_HOST,
): Promise<{ readonly code: number | null; readonly last: string | undefined }> {
  const all = [`--credentials=${google.keyFile}`, ...google.serviceFlags(host)];
  const { code, stderr } = await runMain(
    ["up", "gateway", "--listen=127.0.0.1:0", ...all, ...flags],
    env,
  );
  return { code, last: stderr.trimEnd().split("\n").at(-1) };
}

describe("up reports in one line why it cannot start", () => {
  it("if the key was deleted, with the same advice as doctor", async () => {
    await using folder = await makeTemporaryFolder();
    const key = join(folder.path, "key.json");
    await createServiceAccount({ tokenUri: google.endpoint.url }).writeTo(key);
    const { code, last } = await fail([`--credentials=${key}`]);
    expect(code).toBe(1);
    expect(last).toMatch(/invalid_grant.* → .*gcloud iam service-accounts keys list/);
  });

  it("if there is no key", async () => {
    expect(await fail(["--credentials=/none.json"])).toMatchObject({
      code: 1,
      last: expect.stringContaining("/none.json"),
    });
  });

  it("if the account may not call the service, with the command that grants the role", async () => {
    const { code, last } = await fail([], { ENVOY_BIN: envoy }, FORBIDDEN_HOST);
    expect(code).toBe(1);
    expect(last).toMatch(
      /answered 403.* → grant roles\/run\.invoker.*gcloud run services add-iam-policy-binding closed /,
    );
  });

  it("if the port is taken", async () => {
    await using server = createServer();
    const port = await listenOnLoopback(server);
    expect(await fail([`--listen=127.0.0.1:${port}`])).toEqual({
      code: 1,
      last: `127.0.0.1:${port}: cannot listen: the address is already in use`,
    });
  });

  it("if there is no Envoy and the download fails", async () => {
    await using home = await makeTemporaryFolder();
    const { code, last } = await fail([], { PATH: "/none", HOME: home.path });
    expect(code).toBe(1);
    expect(last).toMatch(/^no Envoy found, and .* bring Envoy 1\.36 or newer/);
  });

  it("if Envoy rejects its config", async () => {
    const { code, last } = await fail(["--service-ca=/none.crt", "--no-probe"]);
    expect({ code, last }).toEqual({
      code: 1,
      last: "Envoy ended (exit code 1): Invalid path: /none.crt",
    });
  });

  it("if the service is unreachable", async () => {
    const { code, last } = await fail(["--connect-to=127.0.0.1:1"]);
    expect(code).toBe(1);
    expect(last).toMatch(/^127\.0\.0\.1:1: .*refused → /);
  });

  it("if flags are wrong, with a line for each error", async () => {
    const { code, stderr, stdout } = await runMain([
      "up",
      "gateway",
      "--authz=x",
      "--refresh-at=2",
    ]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    const named = stderr.match(/^--[a-z-]+/gm);
    expect(new Set(named)).toEqual(new Set(["--authz", "--refresh-at", "--service-url"]));
    expect(stderr.trimEnd().split("\n")).toHaveLength(3);
  });
});

const flagsOf = (host: string) => [`--credentials=${google.keyFile}`, ...google.serviceFlags(host)];

it("up starts even if the service answers with an error, and reports it", async () => {
  await using up = await startUp("gateway", flagsOf(FAILING_HOST));
  expect(await up.step("answered 500")).toContain(" → ");
});

it("up with --no-probe neither mints nor calls the service before it is ready", async () => {
  const before = google.cloudRun.requests.length;
  await using up = await startUp("gateway", [...flagsOf(FORBIDDEN_HOST), "--no-probe"]);
  expect(up.ready).toContain(`leads to https://${FORBIDDEN_HOST}`);
  expect(google.cloudRun.requests).toHaveLength(before);
});

it("up needs neither a credential nor the auth server for a public service, and calls no other", async () => {
  await using certs = await makeTemporaryFolder();
  await runMain(["certs", join(certs.path, "certs")]);
  const flags = [`--cert-dir=${certs.path}/certs`, "--admin-listen=127.0.0.1:0"];
  const ofPublic = [...google.serviceFlags(PUBLIC_HOST), ...flags];
  await using up = await startUp("tunnel-client-public", ofPublic);
  expect(up.ready).toBe(`ready: 127.0.0.1:${up.port} leads to https://${PUBLIC_HOST}`);
  expect(await up.step("is reached")).toContain("200 without a token");
  const ofPrivate = [...google.serviceFlags(API_HOST), ...flags, "--listen=127.0.0.1:0"];
  const env = { ENVOY_BIN: envoy };
  expect(await runMain(["up", "tunnel-client-public", ...ofPrivate], env)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/answered 403: it does not allow .* → use a config with tokens/),
  });
});

it("says what it waits for and, interrupted then, ends with code 0 and leaves nothing behind", async () => {
  // Accepts connections and says nothing.
  await using silent = createServer((socket) => socket.on("error", () => {}).resume());
  const port = await listenOnLoopback(silent);
  const flags = [...flagsOf(API_HOST), `--connect-to=127.0.0.1:${port}`];
  await using up = await startUp("gateway", flags, { until: `waiting for ${API_AUDIENCE}` });
  up.signal("SIGINT");
  expect(await up.ended).toBe(0);
  expect(await up.leftovers()).toEqual([]);
});

/** Runs a program at a terminal, which is closed once the program is ready; prints its exit code. */
const AT_TERMINAL = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
printed = b""
while b"ready: " not in printed:
    printed += os.read(terminal, 4096)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

it("drains and ends with code 0 when its terminal is closed, and leaves nothing behind", async () => {
  await using folder = await makeTemporaryFolder();
  const flags = ["--listen=127.0.0.1:0", `--envoy=${envoy}`, ...flagsOf(API_HOST)];
  const program = [process.execPath, join(ROOT, "src/main.ts"), "up", "gateway", ...flags];
  const code = await runCommand("python3", ["-c", AT_TERMINAL, ...program], {
    env: { PATH: process.env["PATH"], TMPDIR: folder.path },
  });
  expect(code.trim()).toBe("0");
  expect(await readdir(folder.path)).toEqual([]);
});
