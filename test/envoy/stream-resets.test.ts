import { EventEmitter, once } from "node:events";
import { connect, constants, type ClientHttp2Session } from "node:http2";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { startEnvoy } from "../support/envoy-process.ts";
import { startGateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { runOrThrow } from "../support/server-process.ts";
import { startTcpService } from "../support/tcp-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

/** More than Envoy's default limit: a burst of 1000 and 33 per second. */
const STREAMS = 1300;
const CONCURRENCY = 50;

/** Opens streams and resets each one once it is answered. Rejects when the connection ends. */
async function resetMany(session: ClientHttp2Session, method: string): Promise<void> {
  let left = STREAMS;
  const work = async () => {
    while (left-- > 0) {
      const stream = session.request({ ":method": method }, { endStream: method === "GET" });
      await once(stream, "response");
      stream.close(constants.NGHTTP2_CANCEL);
      await once(stream, "close");
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
}

/** Resolves with whether a connection is still usable after that many resets. */
async function survivesResets(port: number, method: string): Promise<boolean> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    await resetMany(session, method);
    const pong = Promise.withResolvers<void>();
    session.ping((error) => (error ? pong.reject(error) : pong.resolve()));
    await pong.promise;
    return !session.closed;
  } finally {
    session.destroy();
  }
}

it("the tunnel server does not close a connection in which many tunnels are reset", async () => {
  await using certs = await makeTemporaryFolder();
  await runOrThrow(["certs", certs.path]);
  await using target = await startTcpService();
  const flags = ["--port=0", `--target=127.0.0.1:${target.port}`, `--cert-dir=${certs.path}`];
  await using server = await startEnvoy("tunnel-server", flags);
  expect(await survivesResets(server.port("http"), "POST")).toBe(true);
});

it.each(["gateway", "gateway-push"] as const)(
  "%s does not close a connection in which many requests are cancelled",
  async (config) => {
    const request = (_request: unknown, response: { write: (text: string) => void }) =>
      response.write("begun");
    await using container = await startHttpService({ request });
    await using gateway = await startGateway({ container, config });
    expect(await survivesResets(gateway.port, "GET")).toBe(true);
  },
);

it.each(["gateway", "gateway-push"] as const)(
  "%s does not close a connection in which many requests are cancelled before they are answered",
  async (config) => {
    const arrivals = new EventEmitter();
    await using container = await startHttpService({
      request: ({ url = "" }, response) => {
        if (url === "/last") response.end("answered");
        else arrivals.emit(url);
      },
    });
    await using gateway = await startGateway({ container, config });
    const session = connect(gateway.url);
    const closed = once(session, "close").then(() => "the connection was closed");
    const cancelOne = async (path: string) => {
      const arrived = once(arrivals, path);
      const stream = session.request({ ":path": path });
      stream.on("error", () => {});
      await Promise.race([arrived, closed]);
      stream.close(constants.NGHTTP2_CANCEL);
    };
    // More than the 500 of which Envoy tolerates half.
    for (let i = 0; i < 600 && !session.closed; i += 1) await cancelOne(`/${i}`);
    const last = session.closed ? closed : text(session.request({ ":path": "/last" }));
    expect(await Promise.race([last, closed])).toBe("answered");
    session.destroy();
  },
);
