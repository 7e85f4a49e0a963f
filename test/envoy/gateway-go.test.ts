import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { MODULE, VERSION, writeModuleProxy } from "../support/module-proxy.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

/** Finds the `go` command. Throws an Error that says what to do when it is not installed. */
function findGo(): string {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/go/bin"];
  const found = folders.map((folder) => join(folder, "go")).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error("no go command on the PATH: install Go, or skip this test with SKIP_GO=1");
}

describe.skipIf(process.env["SKIP_GO"] === "1")("go with the gateway as its GOPROXY", () => {
  const parts = new AsyncDisposableStack();
  let gateway: Gateway;
  let folder = "";

  beforeAll(async () => {
    folder = parts.use(await makeTemporaryFolder()).path;
    const served = join(folder, "proxy");
    await writeModuleProxy(served);
    const request = async ({ url = "" }: IncomingMessage, response: ServerResponse) => {
      const content = await readFile(join(served, url)).catch(() => undefined);
      if (content !== undefined) return response.end(content);
      // go shows the body of an error only if it is plain text in UTF-8.
      response.writeHead(404, { "content-type": "text/plain; charset=utf-8" });
      return response.end("not found: no such version\n");
    };
    const container = parts.use(
      await startHttpService({ request: (...all) => void request(...all) }),
    );
    gateway = parts.use(await startGateway({ container }));
  });
  afterAll(() => parts.disposeAsync());

  function go(args: readonly string[]): Promise<string> {
    const env = {
      HOME: folder,
      GOPATH: join(folder, "go"),
      GOPROXY: gateway.url,
      // The public checksum database has no private modules.
      GONOSUMDB: MODULE,
      GOTOOLCHAIN: "local",
      // go makes its module cache read-only by default, and the folder could not be removed.
      GOFLAGS: "-mod=mod -modcacherw",
    };
    return runCommand(findGo(), args, { cwd: folder, env });
  }

  it("downloads a module from the private service", async () => {
    await writeFile(
      join(folder, "go.mod"),
      `module m\n\ngo 1.21\n\nrequire ${MODULE} ${VERSION}\n`,
    );
    await go(["mod", "download"]);
    const source = join(folder, "go/pkg/mod", `${MODULE}@${VERSION}`, "greeting.go");
    expect(await readFile(source, "utf8")).toContain('const Text = "hello"');
    const { requests } = gateway.google.cloudRun;
    expect(requests.map(({ path }) => path)).toContain(`/${MODULE}/@v/${VERSION}.zip`);
    expect(requests.every(({ status, identity }) => status === 200 && identity)).toBe(true);
  });

  it("shows the module proxy's own error message", async () => {
    await expect(go(["mod", "download", `${MODULE}@v9.9.9`])).rejects.toThrow("no such version");
  });
});
