import { join } from "node:path";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { writeRandomFile } from "./random-file.ts";

/** A server to reach through a tunnel, and a file to carry through it. */
export interface ServerAndFile<S> extends AsyncDisposable {
  readonly server: S;
  /** For what comes back; removed on disposal. */
  readonly folder: string;
  /** The path of 200 MB of random lines. */
  readonly sent: string;
  readonly sentChecksum: string;
}

/** Writes the file and starts the server. */
export async function startWithFile<S extends AsyncDisposable>(
  startServer: () => Promise<S>,
): Promise<ServerAndFile<S>> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const sent = join(folder, "sent");
  const sentChecksum = await writeRandomFile(sent);
  const server = parts.use(await startServer());
  const all = parts.move();
  return {
    server,
    folder,
    sent,
    sentChecksum,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
