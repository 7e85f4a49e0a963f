import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { listenOnLoopback } from "./loopback.ts";

export interface HttpService extends AsyncDisposable {
  readonly containerPort: number;
  readonly containerProtocol: "http1";
}

export interface HttpHandlers {
  readonly request: (request: IncomingMessage, response: ServerResponse) => void;
  readonly upgrade?: (request: IncomingMessage, socket: Duplex) => void;
}

/** Starts a container with an HTTP/1.1 server. */
export async function startHttpService({ request, upgrade }: HttpHandlers): Promise<HttpService> {
  // More than Envoy lets through.
  const server = createServer({ maxHeaderSize: 1_048_576 }, request);
  server.requestTimeout = 0;
  if (upgrade !== undefined) server.on("upgrade", upgrade);
  const containerPort = await listenOnLoopback(server);

  async function close(): Promise<void> {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  return { containerPort, containerProtocol: "http1", [Symbol.asyncDispose]: close };
}
