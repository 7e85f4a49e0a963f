import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGoogle, type Google } from "../support/google.ts";
import { runMain, startServer } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

describe("healthcheck", () => {
  let google: Google;
  beforeAll(async () => {
    google = await startGoogle({ services: [] });
  });
  afterAll(() => google?.[Symbol.asyncDispose]());

  const flags = () => [`--credentials=${google.keyFile}`, "--audience=https://a.run.app"];
  const check = (address: string) => runMain(["healthcheck", `--listen=${address}`, ...flags()]);

  it("passes for a ready server on a TCP address", async () => {
    await using server = await startServer(flags());
    await server.event("minted");
    expect(await check(server.address)).toMatchObject({ code: 0, stdout: '{"status":"ready"}\n' });
  });

  it("passes for a ready server on a Unix domain socket", async () => {
    await using folder = await makeTemporaryFolder();
    const address = `unix:${join(folder.path, "s.sock")}`;
    await using server = await startServer(["--listen", address, ...flags()]);
    await server.event("minted");
    expect(await check(address)).toMatchObject({ code: 0 });
  });

  it("fails and prints what is missing while there is no token", async () => {
    google.endpoint.setFault({ kind: "status", status: 503 });
    await using server = await startServer(flags());
    await server.event("mint_failed");
    const { code, stdout } = await check(server.address);
    google.endpoint.setFault(undefined);
    expect(code).toBe(1);
    expect(stdout).toContain('"audience":"https://a.run.app","error":"mint_unavailable"');
  });

  it("names the address if nothing listens there", async () => {
    const { code, stderr } = await check("127.0.0.1:1");
    expect(code).toBe(1);
    expect(stderr).toBe("127.0.0.1:1: no answer: connection refused\n");
  });

  it("asks for flags if process 1 is another program", async () => {
    const { code, stderr } = await runMain(["healthcheck"]);
    expect(code).toBe(1);
    expect(stderr).toContain("process 1 is not idtoken-authz");
  });
});
