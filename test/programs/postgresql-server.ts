import { chmod, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "../support/command.ts";
import { findFreePort } from "../support/loopback.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startProgram } from "./start-program.ts";

const RELEASES = "/usr/lib/postgresql";
/** PostgreSQL refuses to run as root; Debian's package makes this user. */
const AS_POSTGRES =
  process.getuid?.() === 0
    ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    : [];

export interface PostgresqlServer extends AsyncDisposable {
  readonly port: number;
  /** A folder into which the server may write. */
  readonly folder: string;
}

/** Starts Debian's PostgreSQL with an empty database, on 127.0.0.1 without passwords. */
export async function startPostgresql(): Promise<PostgresqlServer> {
  await using parts = new AsyncDisposableStack();
  const { path } = parts.use(await makeTemporaryFolder());
  await chmod(path, 0o755);
  const folder = join(path, "server");
  await mkdir(folder);
  if (AS_POSTGRES.length > 0) await runCommand("chown", ["postgres", folder]);

  const [release = "not installed"] = (await readdir(RELEASES)).toReversed();
  const program = (name: string) => [...AS_POSTGRES, join(RELEASES, release, "bin", name)];
  const [initdb = "", ...args] = program("initdb");
  const data = join(folder, "data");
  await runCommand(initdb, [...args, "--auth=trust", "--username=postgres", data], { cwd: path });

  const port = await findFreePort();
  const settings = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    // Reads a table from its start, so that the lines keep their order.
    "synchronize_seqscans=off",
  ].flatMap((setting) => ["-c", setting]);
  const postgres = [...program("postgres"), "-D", data, ...settings];
  parts.use(await startProgram(postgres, "ready to accept connections", "SIGINT"));
  const all = parts.move();
  return { port, folder, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
