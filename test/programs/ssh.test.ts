import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { checksum, rate } from "./random-file.ts";
import { startWithFile, type ServerAndFile } from "./server-and-file.ts";
import { startSshServer, type SshServer } from "./ssh-server.ts";
import { KIND_NAMES, startKind } from "./through-tunnel.ts";

let both: ServerAndFile<SshServer>;
beforeAll(async () => {
  both = await startWithFile(startSshServer);
});
afterAll(() => both[Symbol.asyncDispose]());

describe.each(KIND_NAMES)("OpenSSH through %s", (kind) => {
  const parts = new AsyncDisposableStack();
  let flags: readonly string[];
  beforeAll(async () => {
    const tunnel = parts.use(await startKind(kind, both.server.port));
    flags = await both.server.clientFlags(tunnel.port);
  });
  afterAll(() => parts.disposeAsync());

  it("carries a command's 200 MB of input and its output by ssh", async ({ annotate }) => {
    const back = join(both.folder, "back-by-ssh");
    const script = `exec ssh "$@" <'${both.sent}' >'${back}'`;
    const start = performance.now();
    await runCommand("sh", ["-c", script, "sh", ...flags, both.server.destination, "cat"]);
    await annotate(`ssh, in and out at once: ${rate(start)} each`);
    expect(await checksum(back)).toBe(both.sentChecksum);
  });

  it("carries a file of 200 MB there and back by scp", async ({ annotate }) => {
    const [there, back] = [join(both.folder, "there"), join(both.folder, "back-by-scp")];
    const start = performance.now();
    await runCommand("scp", [...flags, both.sent, `${both.server.destination}:${there}`]);
    await annotate(`scp there: ${rate(start)}`);
    expect(await checksum(there)).toBe(both.sentChecksum);
    const middle = performance.now();
    await runCommand("scp", [...flags, `${both.server.destination}:${there}`, back]);
    await annotate(`scp back: ${rate(middle)}`);
    expect(await checksum(back)).toBe(both.sentChecksum);
  });
});
