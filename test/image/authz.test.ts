import { chmod, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGoogle, type Google } from "../support/google.ts";
import { findFreePort } from "../support/loopback.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { LIMITS, LOCKED, podman, startContainer, type Container } from "./container.ts";

const IMAGE = "localhost/idtoken-authz";
const AUDIENCE = "https://svc-abc123-ew.a.run.app";

let google: Google;
let key = "";
beforeAll(async () => {
  google = await startGoogle({ services: [] });
  await chmod(google.keyFile, 0o644);
  key = `--volume=${google.keyFile}:/key.json:ro`;
});
afterAll(() => google?.[Symbol.asyncDispose]());

async function serve(listen: readonly string[], flags: readonly string[] = []): Promise<Container> {
  const args = [...listen, "--credentials=/key.json", `--audience=${AUDIENCE}`];
  const container = startContainer(IMAGE, args, [...LOCKED, key, ...flags]);
  await container.line((line) => line.includes('"event":"minted"'));
  return container;
}

async function listenOf(container: Container): Promise<string> {
  const line = await container.line((each) => each.includes('"event":"listening"'));
  return (JSON.parse(line) as { listen: string }).listen;
}

describe("the image of the auth server", () => {
  it("answers a check as user 65532 on a read-only file system, without capabilities", async () => {
    await using container = await serve(["--listen=127.0.0.1:0"]);
    const response = await fetch(`http://${await listenOf(container)}/check`);
    expect(response.status).toBe(200);
    const token = response.headers.get("authorization")?.slice("Bearer ".length) ?? "";
    expect(
      JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()),
    ).toMatchObject({ aud: AUDIENCE });
    const status = await podman("exec", container.name, "/nodejs/bin/node", "-p", STATUS);
    expect(status).toMatch(/^Uid:\s+65532\s/m);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(await container.stop()).toBe(0);
  });

  it.each([
    ["another port by flag", ["--listen=127.0.0.1:PORT"], []],
    ["another port by environment variable", [], ["--env=LISTEN=127.0.0.1:PORT"]],
    ["a Unix domain socket", ["serve", "--listen=unix:/s/s.sock"], ["--tmpfs=/s:mode=1777"]],
    ["a port behind an init process", ["--listen", "127.0.0.1:PORT"], ["--init"]],
  ] as const)("is healthy on %s", async (_, args, flags) => {
    const port = String(await findFreePort());
    const withPort = (text: string) => text.replace("PORT", port);
    await using container = await serve(args.map(withPort), flags.map(withPort));
    expect(await podman("healthcheck", "run", container.name)).not.toContain("unhealthy");
  });

  it("is unhealthy while it has no token", async () => {
    const listen = `--listen=127.0.0.1:${await findFreePort()}`;
    const args = [listen, "--credentials=/key.json", `--audience=${AUDIENCE}`];
    google.endpoint.setFault({ kind: "status", status: 503 });
    await using container = startContainer(IMAGE, args, [...LOCKED, key]);
    await container.line((line) => line.includes('"event":"mint_failed"'));
    google.endpoint.setFault(undefined);
    await expect(podman("healthcheck", "run", container.name)).rejects.toMatchObject({
      stdout: expect.stringContaining("unhealthy"),
    });
  });
});

const STATUS = 'fs.readFileSync("/proc/1/status", "utf8")';

describe("the command in the image", () => {
  const once = (...args: string[]) => podman("run", "--rm", ...LIMITS, ...LOCKED, IMAGE, ...args);

  it("prints Envoy configs", async () => {
    const url = "--service-url=https://svc-abc123-ew.a.run.app";
    expect(await once("envoy", "tunnel-client", url)).toContain('sni: "svc-abc123-ew.a.run.app"');
  });

  it("has the same version as the image's label", async () => {
    const labels = await podman("inspect", "--format={{json .Config.Labels}}", IMAGE);
    const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
    expect(JSON.parse(labels)).toMatchObject({ "org.opencontainers.image.version": version });
    expect(await once("--version")).toBe(`${version}\n`);
  });

  it("runs doctor", async () => {
    const diagnosis = once("doctor", "--credentials=/none.json", `--audience=${AUDIENCE}`);
    await expect(diagnosis).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringContaining("✗ file    /none.json: "),
    });
  });

  it("writes certificates into a mounted folder", async () => {
    await using folder = await makeTemporaryFolder();
    const certs = join(folder.path, "certs");
    await mkdir(certs);
    await chmod(folder.path, 0o755);
    await chmod(certs, 0o777);
    await using container = startContainer(
      IMAGE,
      ["certs", "/certs"],
      [...LOCKED, `--volume=${certs}:/certs`],
    );
    await container.line((line) => line.includes("server.key"));
    expect(await container.stop()).toBe(0);
  });
});
