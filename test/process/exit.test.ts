import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { atExit } from "../support/at-exit.ts";
import { createCredentials, type Credentials } from "../support/credential-files.ts";
import { ROOT, startServer } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startX509Federation, type X509Federation } from "../support/x509-federation.ts";

const parts = new AsyncDisposableStack();
let world: Credentials;
let x509: X509Federation;

beforeAll(async () => {
  world = parts.use(await createCredentials());
  x509 = parts.use(await startX509Federation(world.endpoint, world));
});
afterAll(() => parts.disposeAsync());

async function makePipe(): Promise<string> {
  const path = join(parts.use(await makeTemporaryFolder()).path, "pipe");
  await promisify(execFile)("mkfifo", [path]);
  return path;
}

describe("serve with a credential that is a pipe without a writer", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("exits with 0 on %s", async (signal) => {
    const pipe = await makePipe();
    const args = [join(ROOT, "src/main.ts"), `--credentials=${pipe}`, "--listen=127.0.0.1:0"];
    const child = spawn(process.execPath, args, { stdio: "ignore" });
    atExit(() => child.kill("SIGKILL"));
    const ended = once(child, "exit");
    // Opens when the server has opened the other end.
    await using writer = await open(pipe, "w");
    child.kill(signal);
    expect(await ended).toEqual([0, null]);
    await writer.close();
  });
});

describe("serve with a mint that hangs in a thread which cannot be cancelled", () => {
  async function startHanging(drainTimeout: string) {
    // google-auth-library opens this file in a thread, and waits for a writer.
    const cert_path = await makePipe();
    const config = { cert_configs: { workload: { cert_path, key_path: cert_path } } };
    const location = await world.write(config, "hanging-config.json");
    const credential_source = { certificate: { certificate_config_location: location } };
    const credentials = await world.write({ ...x509.file, credential_source });
    const flags = [`--credentials=${credentials}`, "--audience=https://service.example"];
    const server = await startServer(
      [...flags, "--mint-timeout=60s", `--drain-timeout=${drainTimeout}`],
      x509.env,
    );
    // Opens when the server has opened the other end.
    parts.use(await open(cert_path, "w"));
    return server;
  }

  it("exits with 0 once it is drained", async () => {
    await using server = await startHanging("1s");
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
  });

  it("exits with 1 on a second signal", async () => {
    await using server = await startHanging("60s");
    const check = request(`${server.url}/check`).end();
    const cutOff = once(check, "error");
    await once(check, "finish");
    // Answered after the check has arrived.
    await fetch(`${server.url}/livez`);
    server.signal("SIGTERM");
    await server.event("draining");
    server.signal("SIGTERM");
    expect(await server.ended).toBe(1);
    await cutOff;
  });
});
