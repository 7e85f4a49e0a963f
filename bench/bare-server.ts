import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fastify } from "fastify";
import { atExit } from "../test/support/at-exit.ts";

export type BareKind = "node:http" | "fastify";

export interface BareServer extends AsyncDisposable {
  readonly pid: number;
  readonly address: string;
  readonly url: string;
}

/** Starts a process that only answers with an `authorization` header of this length. */
export async function startBareServer(kind: BareKind, headerLength: number): Promise<BareServer> {
  const args = [import.meta.filename, kind, String(headerLength)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const callOff = atExit(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(callOff);
  const [port] = await Promise.race([
    once(child.stdout, "data"),
    ended.then(() => {
      throw new Error(`bare ${kind} ended (${child.exitCode ?? child.signalCode})`);
    }),
  ]);
  const address = `127.0.0.1:${String(port).trim()}`;
  return {
    pid: child.pid ?? 0,
    address,
    url: `http://${address}`,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function serve(kind: BareKind, header: string): Promise<AddressInfo> {
  if (kind === "fastify") {
    const app = fastify();
    app.get("/check", (_request, reply) => reply.header("authorization", header).send());
    await app.listen({ host: "127.0.0.1", port: 0 });
    return app.server.address() as AddressInfo;
  }
  const server = createServer((_request, response) => {
    response.setHeader("authorization", header).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address() as AddressInfo;
}

if (import.meta.main) {
  const [kind, headerLength] = process.argv.slice(2);
  const { port } = await serve(kind as BareKind, "Bearer ".padEnd(Number(headerLength), "x"));
  process.stdout.write(`${port}\n`);
}
