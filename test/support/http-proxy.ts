import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect, type Socket } from "node:net";
import { listenOnLoopback } from "./loopback.ts";
import { join } from "./tls-front.ts";

export interface HttpProxyOptions {
  /** The local port to which every request goes, whatever its target. */
  readonly port: number;
  /** The required `user:password`; none if left out. */
  readonly credentials?: string;
  /** If set, refuses every tunnel with this status. */
  readonly refuseWith?: number;
}

export interface HttpProxy extends AsyncDisposable {
  /** Its `HOST:PORT`, for HTTPS_PROXY. */
  readonly host: string;
  /** The targets of all requests, refused ones included: HOST:PORT for tunnels, else whole URLs. */
  readonly targets: readonly string[];
}

/** Starts an HTTP proxy that opens tunnels (RFC 9110, section 9.3.6) and forwards requests. */
export async function startHttpProxy(options: HttpProxyOptions): Promise<HttpProxy> {
  const { port, credentials, refuseWith } = options;
  const wanted = credentials && `Basic ${Buffer.from(credentials).toString("base64")}`;
  const targets: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((incoming, outgoing) => {
    const { url = "", method, headers } = incoming;
    targets.push(url);
    const path = URL.parse(url)?.pathname;
    const onward = request({ host: "127.0.0.1", port, method, path, headers });
    onward.on("response", (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  });
  server.on("connection", (socket) => {
    open.add(socket);
    // A refused client may close the connection before it reads the answer.
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
  });
  server.on("connect", ({ url = "", headers }, socket: Socket) => {
    targets.push(url);
    const isWelcome = wanted === undefined || headers["proxy-authorization"] === wanted;
    const status = isWelcome ? refuseWith : 407;
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status} Refused\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const onward = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      join(socket, onward);
    });
    onward.on("error", () => socket.destroy());
  });
  const host = `127.0.0.1:${await listenOnLoopback(server)}`;
  return {
    host,
    targets,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
