import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { request, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServiceAccount } from "../support/service-account.ts";
import { runMain, startServer } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTokenEndpoint } from "../support/token-endpoint.ts";

const AUDIENCE = "https://a.run.app";
const parts = new AsyncDisposableStack();
let folder = "";
let serveFlags: readonly string[] = [];

beforeAll(async () => {
  folder = parts.use(await makeTemporaryFolder()).path;
  const endpoint = parts.use(await startTokenEndpoint());
  const account = createServiceAccount({ tokenUri: endpoint.url });
  endpoint.register(account);
  const keyFile = join(folder, "key.json");
  await account.writeTo(keyFile);
  serveFlags = [`--credentials=${keyFile}`, `--audience=${AUDIENCE}`, "--drain-timeout=0s"];
});
afterAll(() => parts.disposeAsync());

async function get(where: { readonly socketPath: string; readonly path: string }) {
  const [response] = (await once(request(where).end(), "response")) as [IncomingMessage];
  response.resume();
  return response;
}

describe("a Unix socket", () => {
  it("is accessible to its owner and group only, and removed when the server ends", async () => {
    const socketPath = join(folder, "mode.sock");
    await using server = await startServer([...serveFlags, "--listen", `unix:${socketPath}`]);
    expect(server.address).toBe(`unix:${socketPath}`);
    expect((await stat(socketPath)).mode & 0o777).toBe(0o660);
    const { statusCode, headers } = await get({ socketPath, path: "/check/x" });
    expect(statusCode).toBe(200);
    expect(headers["authorization"]).toMatch(/^Bearer /);
    expect(await server.stop()).toBe(0);
    await expect(stat(socketPath)).rejects.toThrow("ENOENT");
  });

  it("left by a dead process is replaced", async () => {
    const socketPath = join(folder, "stale.sock");
    const listen = ["--listen", `unix:${socketPath}`];
    const dead = await startServer([...serveFlags, ...listen]);
    await dead.stop("SIGKILL");
    expect((await stat(socketPath)).isSocket()).toBe(true);
    await using server = await startServer([...serveFlags, ...listen]);
    expect(server.address).toBe(`unix:${socketPath}`);
    expect((await get({ socketPath, path: "/livez" })).statusCode).toBe(200);
  });

  it("of a live process is left alone, and the second server exits with 1", async () => {
    const socketPath = join(folder, "live.sock");
    const listen = ["--listen", `unix:${socketPath}`];
    await using live = await startServer([...serveFlags, ...listen]);
    const { code, stderr } = await runMain(["serve", ...serveFlags, ...listen]);
    expect(code).toBe(1);
    expect(stderr).toBe(`${live.address}: cannot listen: the address is already in use\n`);
    expect((await get({ socketPath, path: "/livez" })).statusCode).toBe(200);
  });

  it("does not replace a file", async () => {
    const path = join(folder, "notes.txt");
    await writeFile(path, "precious");
    const { code, stderr } = await runMain(["serve", ...serveFlags, "--listen", `unix:${path}`]);
    expect(code).toBe(1);
    expect(stderr).toContain("a file that is not a socket is in the way");
    expect(await readFile(path, "utf8")).toBe("precious");
  });

  it("requires an existing folder", async () => {
    const path = join(folder, "missing/a.sock");
    const { code, stderr } = await runMain(["serve", ...serveFlags, "--listen", `unix:${path}`]);
    expect(code).toBe(1);
    expect(stderr).toContain("its folder does not exist");
  });
});

describe("the admin address", () => {
  it("serves health and metrics but no tokens", async () => {
    const flags = [...serveFlags, "--admin-listen", "127.0.0.1:0"];
    await using server = await startServer(flags);
    const { adminListen } = await server.event("listening");
    await server.event("minted");
    const ask = (path: string) => fetch(`http://${String(adminListen)}${path}`);
    for (const path of ["/livez", "/readyz", "/healthz"]) {
      expect((await ask(path)).status).toBe(200);
    }
    const metrics = await (await ask("/metrics")).text();
    expect(metrics).toContain("idtoken_authz_checks_total");
    for (const path of ["/", "/check", "/check/x", "/v3/discovery:secrets"]) {
      const response = await ask(path);
      expect(response.status).toBe(404);
      expect(response.headers.has("authorization")).toBe(false);
      expect(await response.text()).not.toContain("eyJ");
    }
  });

  it("is named in the error, with exit code 1, if it is taken", async () => {
    await using other = await startServer(serveFlags);
    const flags = ["serve", ...serveFlags, "--listen", "127.0.0.1:0"];
    const { code, stderr } = await runMain([...flags, "--admin-listen", other.address]);
    expect(code).toBe(1);
    expect(stderr).toBe(`${other.address}: cannot listen: the address is already in use\n`);
  });
});

describe("the check secret", () => {
  const check = (url: string, secret?: string) =>
    fetch(`${url}/check`, secret === undefined ? {} : { headers: { "x-authz-secret": secret } });

  it("is the file's content without the line break, and follows changes of the file", async () => {
    const file = join(folder, "secret");
    await writeFile(file, "first secret\n");
    await using server = await startServer([...serveFlags, `--check-secret-file=${file}`]);
    const statusFor = async (secret?: string) => (await check(server.url, secret)).status;
    expect(await statusFor("first secret")).toBe(200);
    expect(await statusFor("first secre")).toBe(403);
    expect(await statusFor()).toBe(403);

    await writeFile(`${file}.new`, "second secret");
    await rename(`${file}.new`, file);
    await server.event("check_secret_rotated");
    expect(await statusFor("second secret")).toBe(200);
    expect(await statusFor("first secret")).toBe(403);

    await writeFile(file, "");
    const { err } = await server.line(({ level }) => level === "error");
    expect(err).toMatchObject({ message: expect.stringContaining(file) });
    expect(await statusFor("second secret")).toBe(200);
    expect(JSON.stringify(server.lines())).not.toMatch(/(?:first|second) secret/);
  });

  it("prevents the start if it cannot be read", async () => {
    const file = join(folder, "no-such-file");
    const { code, stderr } = await runMain(["serve", ...serveFlags, `--check-secret-file=${file}`]);
    expect(code).toBe(1);
    expect(stderr).toBe(`${file}: the check secret cannot be read: there is no such file\n`);
  });
});
