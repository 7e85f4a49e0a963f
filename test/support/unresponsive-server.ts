import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { atExit } from "./at-exit.ts";

export interface UnresponsiveServer extends AsyncDisposable {
  readonly port: number;
}

/** Listens, and then does nothing for ever. */
const PROGRAM = `
  const listening = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
    require("node:fs").writeSync(1, String(listening.address().port));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;
/** More than its queue takes. */
const CONNECTIONS = 16;

/** Starts a server that answers no connection: as a machine that is gone, it drops the first packet. */
export async function startUnresponsiveServer(): Promise<UnresponsiveServer> {
  await using parts = new AsyncDisposableStack();
  const child = spawn(process.execPath, ["-e", PROGRAM], { stdio: ["ignore", "pipe", "inherit"] });
  const callOff = atExit(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(callOff);
  parts.defer(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const [output] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(String(output));
  const queued = Array.from({ length: CONNECTIONS }, () => connect(port, "127.0.0.1"));
  for (const socket of queued) socket.on("error", () => {});
  parts.defer(() => queued.forEach((socket) => socket.destroy()));
  await Promise.any(queued.map((socket) => once(socket, "connect")));
  const all = parts.move();
  return { port, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
