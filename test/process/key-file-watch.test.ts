import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startServer, type LogLine } from "../support/server-process.ts";
import { createServiceAccount, type ServiceAccount } from "../support/service-account.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTokenEndpoint, type TokenEndpoint } from "../support/token-endpoint.ts";

const parts = new AsyncDisposableStack();
let endpoint: TokenEndpoint;
let folder = "";
let keyFile = "";
let first: ServiceAccount;
let second: ServiceAccount;

beforeAll(async () => {
  endpoint = parts.use(await startTokenEndpoint());
  first = createServiceAccount({ tokenUri: endpoint.url });
  second = createServiceAccount({ tokenUri: endpoint.url });
  endpoint.register(first);
  endpoint.register(second);
});
beforeEach(async () => {
  folder = parts.use(await makeTemporaryFolder()).path;
  keyFile = join(folder, "key.json");
});
afterAll(() => parts.disposeAsync());

const serve = (path = keyFile) =>
  startServer(["--credentials", path, "--audience", "https://a.run.app"]);
const textOf = ({ keyFile: fields }: ServiceAccount) => JSON.stringify(fields);
const rotatedTo =
  ({ keyId }: ServiceAccount) =>
  ({ event, keyId: shown }: LogLine) =>
    event === "credential_rotated" && shown === keyId;

describe("a key file", () => {
  it("is read again after a write in place", async () => {
    await first.writeTo(keyFile);
    await using server = await serve();
    await writeFile(keyFile, textOf(second));
    expect(await server.line(rotatedTo(second))).toMatchObject({ level: "info" });
  });

  it("is read again after another file is renamed to its name", async () => {
    await first.writeTo(keyFile);
    await using server = await serve();
    await second.writeTo(`${keyFile}.new`);
    await rename(`${keyFile}.new`, keyFile);
    expect(await server.line(rotatedTo(second))).toMatchObject({ level: "info" });
  });

  it("is reported when it is removed, and read again when it is back", async () => {
    await first.writeTo(keyFile);
    await using server = await serve();
    await rm(keyFile);
    const gone = await server.line(({ level }) => level === "error");
    expect(JSON.stringify(gone)).toContain("there is no such file");
    await second.writeTo(keyFile);
    expect(await server.line(rotatedTo(second))).toMatchObject({ level: "info" });
  });

  it("is read again after a symbolic link changes, as in a mounted Kubernetes Secret", async () => {
    for (const [name, account] of [["one", first] as const, ["two", second] as const]) {
      await mkdir(join(folder, name));
      await account.writeTo(join(folder, name, "key.json"));
    }
    await symlink("one", join(folder, "..data"));
    await symlink(join("..data", "key.json"), keyFile);
    await using server = await serve();
    await symlink("two", join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
    expect(await server.line(rotatedTo(second))).toMatchObject({ level: "info" });
    expect(JSON.parse(await readFile(keyFile, "utf8"))).toEqual(second.keyFile);
  });

  it("is read again after SIGHUP if the change caused no file system event", async () => {
    const elsewhere = join(parts.use(await makeTemporaryFolder()).path, "key.json");
    await first.writeTo(elsewhere);
    await symlink(elsewhere, keyFile);
    await using server = await serve();
    await second.writeTo(elsewhere);
    server.signal("SIGHUP");
    expect(await server.line(rotatedTo(second))).toMatchObject({ level: "info" });
  });
});
