import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { checksum, rate, writeRandomFile } from "./random-file.ts";
import { startSshServer, type SshServer } from "./ssh-server.ts";
import { KIND_NAMES, startKind } from "./through-tunnel.ts";

const everything = new AsyncDisposableStack();
let server: SshServer;
let folder: string;
let sent: string;
let sentChecksum: string;
beforeAll(async () => {
  folder = everything.use(await makeTemporaryFolder()).path;
  sent = join(folder, "sent");
  sentChecksum = await writeRandomFile(sent);
  server = everything.use(await startSshServer());
});
afterAll(() => everything.disposeAsync());

describe.each(KIND_NAMES)("OpenSSH through %s", (kind) => {
  const parts = new AsyncDisposableStack();
  let flags: readonly string[];
  beforeAll(async () => {
    const tunnel = parts.use(await startKind(kind, server.port));
    flags = await server.clientFlags(tunnel.port);
  });
  afterAll(() => parts.disposeAsync());

  it("carries a command's 200 MB of input and its output by ssh", async ({ annotate }) => {
    const back = join(folder, "back-by-ssh");
    const script = `exec ssh "$@" <'${sent}' >'${back}'`;
    const start = performance.now();
    await runCommand("sh", ["-c", script, "sh", ...flags, server.destination, "cat"]);
    await annotate(`ssh, in and out at once: ${rate(start)} each`);
    expect(await checksum(back)).toBe(sentChecksum);
  });

  it("carries a file of 200 MB there and back by scp", async ({ annotate }) => {
    const [there, back] = [join(folder, "there"), join(folder, "back-by-scp")];
    const start = performance.now();
    await runCommand("scp", [...flags, sent, `${server.destination}:${there}`]);
    await annotate(`scp there: ${rate(start)}`);
    expect(await checksum(there)).toBe(sentChecksum);
    const middle = performance.now();
    await runCommand("scp", [...flags, `${server.destination}:${there}`, back]);
    await annotate(`scp back: ${rate(middle)}`);
    expect(await checksum(back)).toBe(sentChecksum);
  });
});
