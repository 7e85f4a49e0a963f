import type { FastifyInstance } from "fastify";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { KEEP_ALIVE_MS, MAX_HEADER_BYTES } from "./app.ts";
import type { AnswerHttp2, Http2Connections } from "./http2.ts";
import { splitByPreface } from "./preface.ts";

export interface AcceptOptions {
  /** Loads what answers gRPC calls, at the first connection. */
  readonly loadGrpc: () => Promise<AnswerHttp2>;
  /** Called with an error of loading; the connection is closed. */
  readonly onFault: (error: unknown) => void;
}

/**
 * Accepts HTTP/2 without TLS beside HTTP/1.1 on an app's addresses, by prior knowledge (RFC 9113,
 * section 3.3): gRPC calls, and the app's own requests. Loads none of it before the first such
 * connection. Call it before the app listens.
 */
export function acceptHttp2(
  app: FastifyInstance,
  { loadGrpc, onFault }: AcceptOptions,
): Omit<Http2Connections, "accept"> {
  let loaded: Promise<Http2Connections> | undefined;
  let isEnding = false;

  async function load(): Promise<Http2Connections> {
    const [{ createHttp2Connections }, answerCall] = await Promise.all([
      import("./http2.ts"),
      loadGrpc(),
    ]);
    const connections = createHttp2Connections({
      answerCall,
      // Fastify reads only what both kinds of requests have.
      answerRequest: (request, response) =>
        app.routing(request as unknown as IncomingMessage, response as unknown as ServerResponse),
      maxHeaderBytes: MAX_HEADER_BYTES,
      idleTimeoutMs: KEEP_ALIVE_MS,
    });
    if (isEnding) connections.announceEnd();
    return connections;
  }

  function onHttp2(socket: Socket): void {
    loaded ??= load();
    // Nobody else listens to the connection until it is accepted. If it is reset, it is destroyed.
    socket.on("error", () => {});
    loaded
      .then(({ accept }) => (socket.destroyed ? undefined : accept(socket)))
      .catch((error: unknown) => {
        onFault(error);
        socket.destroy();
      });
  }

  const undecided = splitByPreface(app.server, onHttp2);
  const forLoaded = (act: (connections: Http2Connections) => void) =>
    void loaded?.then(act, () => {});

  return {
    announceEnd: () => {
      isEnding = true;
      forLoaded((connections) => connections.announceEnd());
    },
    close: () => {
      undecided.closeAll();
      forLoaded((connections) => connections.close());
    },
    destroy: () => {
      undecided.closeAll();
      forLoaded((connections) => connections.destroy());
    },
  };
}
