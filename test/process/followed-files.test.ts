import { execFile } from "node:child_process";
import { rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { createServiceAccount, type ServiceAccount } from "../support/service-account.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTokenEndpoint, type TokenEndpoint } from "../support/token-endpoint.ts";

const AUDIENCE = "https://a.run.app";
const parts = new AsyncDisposableStack();
let endpoint: TokenEndpoint;
let account: ServiceAccount;
let folder = "";
let keyFile = "";
let secretFile = "";

beforeAll(async () => {
  endpoint = parts.use(await startTokenEndpoint());
  // A name instead of an address, so that each mint needs a thread to resolve it.
  account = createServiceAccount({ tokenUri: endpoint.url.replace("127.0.0.1", "localhost") });
  endpoint.register(account);
});
beforeEach(async () => {
  folder = parts.use(await makeTemporaryFolder()).path;
  keyFile = join(folder, "key.json");
  secretFile = join(folder, "secret");
  await account.writeTo(keyFile);
  await writeFile(secretFile, "a secret");
});
afterAll(() => parts.disposeAsync());

const flags = () => [
  `--audience=${AUDIENCE}`,
  "--allow-audience=https://*.run.app",
  `--check-secret-file=${secretFile}`,
];
const check = (server: ServerProcess, audience: string) =>
  fetch(`${server.url}/check`, {
    headers: { "x-authz-secret": "a secret", "x-id-token-audience": audience },
  });

async function makePipe(name: string): Promise<string> {
  const path = join(folder, name);
  await promisify(execFile)("mkfifo", [path]);
  return path;
}

/** Sends SIGHUP several times, each after the server has answered a request. */
async function reloadOften(server: ServerProcess): Promise<void> {
  for (let times = 0; times < 6; times++) {
    server.signal("SIGHUP");
    await fetch(`${server.url}/livez`);
  }
}

describe("a followed file that is replaced", () => {
  it("by a pipe without a writer is reported, and tokens are still minted", async () => {
    await using server = await startServer([`--credentials=${keyFile}`, ...flags()]);
    await server.event("minted");
    await rename(await makePipe("pipe"), secretFile);
    await reloadOften(server);
    const { err } = await server.event("check_secret_rejected");
    expect(err).toMatchObject({ message: expect.stringContaining("it is not a regular file") });
    expect((await check(server, "https://cold.run.app")).status).toBe(200);
    expect(await server.stop()).toBe(0);
  });

  it("by a link to an endless device is reported, and the old credential remains in use", async () => {
    await using server = await startServer([`--credentials=${keyFile}`, ...flags()]);
    await symlink("/dev/zero", `${keyFile}.new`);
    await rename(`${keyFile}.new`, keyFile);
    const { err } = await server.event("credential_rejected");
    expect(err).toMatchObject({ message: expect.stringContaining("it is not a regular file") });
    expect((await check(server, AUDIENCE)).status).toBe(200);
  });
});

describe("a credential that can be read only once", () => {
  it.each([
    ["process substitution", 'exec "$@" --credentials <(cat "$KEY")'],
    ["standard input, a pipe", 'exec "$@" --credentials /dev/stdin < <(cat "$KEY")'],
    ["standard input, a file", 'exec "$@" --credentials /dev/stdin < "$KEY"'],
  ])("works from %s, without an error or a failed rotation", async (_how, script) => {
    await using server = await startServer(flags(), { KEY: keyFile }, script);
    await server.event("minted");
    expect(await server.event("file_not_followed")).toMatchObject({ level: "info" });
    server.signal("SIGHUP");
    await writeFile(secretFile, "another secret");
    await server.event("check_secret_rotated");
    expect(server.lines().filter(({ level }) => level === "error")).toEqual([]);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^idtoken_authz_credential_swaps_total\{outcome="invalid_file"\} 0$/m);
  });
});
