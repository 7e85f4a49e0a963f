import { fastify } from "fastify";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findFreeAddress, listen } from "../../../src/http/listen.ts";
import { parseAddress, parseTcpAddress, type Address } from "../../../src/system/address.ts";
import { StartError } from "../../../src/system/errors.ts";
import { listenOnLoopback } from "../../support/loopback.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const parts = new AsyncDisposableStack();
let folder = "";
beforeAll(async () => {
  folder = parts.use(await makeTemporaryFolder()).path;
});
afterAll(() => parts.disposeAsync());

/** Listens until the test is over. */
async function listenOn(address: Address): Promise<Address> {
  const app = fastify();
  parts.defer(() => app.close());
  return listen(app, address);
}

const unix = (name: string): Address => ({ kind: "unix", path: join(folder, name) });

describe("listen on a TCP address", () => {
  it("resolves with the chosen port", async () => {
    const address = await listenOn(parseAddress("127.0.0.1:0"));
    expect(address).toEqual({ kind: "tcp", host: "127.0.0.1", port: expect.any(Number) });
    expect(address).not.toMatchObject({ port: 0 });
  });

  it("opens one server for localhost, on 127.0.0.1", async () => {
    const app = fastify();
    parts.defer(() => app.close());
    await listen(app, parseAddress("localhost:0"));
    expect(app.addresses()).toMatchObject([{ address: "127.0.0.1" }]);
  });

  it("names the address and the reason when it cannot", async () => {
    await using other = createServer();
    const port = await listenOnLoopback(other);
    await expect(listenOn(parseAddress(`127.0.0.1:${port}`))).rejects.toThrow(
      new StartError(`127.0.0.1:${port}: cannot listen: the address is already in use`),
    );
    await expect(listenOn(parseAddress("192.0.2.1:0"))).rejects.toThrow(
      new StartError("192.0.2.1:0: cannot listen: this machine does not have that address"),
    );
  });
});

describe("listen on a Unix domain socket", () => {
  it("makes a socket for its owner and group, and restores the umask", async () => {
    const before = process.umask();
    const address = unix("new.sock");
    expect(await listenOn(address)).toEqual(address);
    expect((await stat(join(folder, "new.sock"))).mode & 0o777).toBe(0o660);
    expect(process.umask()).toBe(before);
  });

  it("refuses a live socket", async () => {
    await listenOn(unix("live.sock"));
    await expect(listenOn(unix("live.sock"))).rejects.toThrow("the address is already in use");
  });

  it("refuses another kind of file and leaves it unchanged", async () => {
    await writeFile(join(folder, "notes.txt"), "precious");
    await expect(listenOn(unix("notes.txt"))).rejects.toThrow(
      "a file that is not a socket is in the way",
    );
    expect(await readFile(join(folder, "notes.txt"), "utf8")).toBe("precious");
    await mkdir(join(folder, "sub"));
    await expect(listenOn(unix("sub"))).rejects.toThrow("a file that is not a socket");
  });

  it("refuses a path in a folder that does not exist", async () => {
    await expect(listenOn(unix("missing/a.sock"))).rejects.toThrow("its folder does not exist");
  });
});

describe("findFreeAddress", () => {
  it("chooses a port that another program can listen on then", async () => {
    const found = await findFreeAddress(parseTcpAddress("127.0.0.1:0"));
    expect(await listenOn(found)).toEqual(found);
  });

  it("names an address that is taken, and the reason", async () => {
    await using server = createServer();
    const port = await listenOnLoopback(server);
    await expect(findFreeAddress(parseTcpAddress(`127.0.0.1:${port}`))).rejects.toThrow(
      `127.0.0.1:${port}: cannot listen: the address is already in use`,
    );
  });
});
