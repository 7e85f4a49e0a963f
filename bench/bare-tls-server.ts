import { createServer } from "node:https";
import { listenOnLoopback } from "../test/support/loopback.ts";
import { startChild } from "./child.ts";

export interface BareTlsServer extends AsyncDisposable {
  readonly address: string;
}

/** The certificates (PEM) of a server and of its clients' authority. */
interface ServerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Starts a process that requires client certificates and answers with a header of this length. */
export async function startBareTlsServer(
  tls: ServerTls,
  headerLength: number,
): Promise<BareTlsServer> {
  const child = startChild(import.meta.filename, [String(headerLength)]);
  child.send(tls);
  const { port } = (await child.next()) as { port: number };
  return {
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

async function serve(tls: ServerTls, header: string): Promise<void> {
  const server = createServer({ ...tls, requestCert: true }, (_request, response) => {
    response.setHeader("authorization", header).end();
  });
  process.send?.({ port: await listenOnLoopback(server) });
}

if (import.meta.main) {
  process.once("message", (tls: ServerTls) => {
    void serve(tls, "Bearer ".padEnd(Number(process.argv[2]), "x"));
  });
}
