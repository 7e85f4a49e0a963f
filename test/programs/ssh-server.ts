import { mkdir, readFile, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { runCommand } from "../support/command.ts";
import { findFreePort } from "../support/loopback.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startProgram } from "./start-program.ts";

export interface SshServer extends AsyncDisposable {
  readonly port: number;
  /** Where a client connects, as whom. */
  readonly destination: string;
  /** Flags with which `ssh` and `scp` trust this server alone, on another port, and are let in. */
  readonly clientFlags: (port: number) => Promise<readonly string[]>;
}

/** Starts Debian's sshd for the user who runs this, with keys of its own. */
export async function startSshServer(): Promise<SshServer> {
  await using parts = new AsyncDisposableStack();
  const { path } = parts.use(await makeTemporaryFolder());
  const [hostKey, userKey] = [join(path, "host"), join(path, "user")];
  for (const key of [hostKey, userKey]) {
    await runCommand("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  }
  const port = await findFreePort();
  const config = join(path, "sshd_config");
  const settings = {
    ListenAddress: `127.0.0.1:${port}`,
    HostKey: hostKey,
    AuthorizedKeysFile: `${userKey}.pub`,
    // A folder below /tmp, which all may write to, is refused otherwise.
    StrictModes: "no",
    UsePAM: "no",
    PidFile: "none",
    Subsystem: "sftp internal-sftp",
  };
  await writeFile(
    config,
    Object.entries(settings)
      .map((each) => `${each.join(" ")}\n`)
      .join(""),
  );
  // sshd of root refuses to start without it; the service makes it.
  if (process.getuid?.() === 0) await mkdir("/run/sshd", { recursive: true });
  const sshd = ["/usr/sbin/sshd", "-D", "-e", "-f", config];
  parts.use(await startProgram(sshd, "Server listening", "SIGTERM"));

  async function clientFlags(to: number): Promise<readonly string[]> {
    const knownHosts = join(path, `known-${to}`);
    await writeFile(knownHosts, `[127.0.0.1]:${to} ${await readFile(`${hostKey}.pub`, "utf8")}`);
    const options = {
      Port: to,
      IdentityFile: userKey,
      IdentitiesOnly: "yes",
      UserKnownHostsFile: knownHosts,
      StrictHostKeyChecking: "yes",
      BatchMode: "yes",
    };
    return ["-F", "none", ...Object.entries(options).flatMap((each) => ["-o", each.join("=")])];
  }

  const destination = `${userInfo().username}@127.0.0.1`;
  const all = parts.move();
  return { port, destination, clientFlags, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
