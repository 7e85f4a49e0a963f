import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService, type HttpService } from "../support/http-service.ts";
import { listenOnLoopback } from "../support/loopback.ts";
import { openPage } from "./chromium.ts";

/** What a page was able to do with the gateway, as seen by its script. */
interface Report {
  readonly read: string;
  readonly write: string;
  readonly webSocket: string;
}

/** A page that tries to use the gateway at `url` and reports to its own server. */
const pageFor = (url: string) => `<!doctype html><title>page</title><script type="module">
  const failed = () => "failed";
  const openSocket = () => new Promise((resolve) => {
    const socket = new WebSocket("${url}".replace("http", "ws"));
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = () => resolve("failed");
  });
  const post = { method: "POST", body: "x" };
  const report = {
    read: await fetch("${url}", post).then((response) => response.text()).catch(failed),
    write: await fetch("${url}", { ...post, mode: "no-cors" }).then(() => "sent").catch(failed),
    webSocket: await openSocket(),
  };
  await fetch("/report", { method: "POST", body: JSON.stringify(report) });
</script>`;

/** A site with one page, as another web server on this machine or as the private service itself. */
function createSite() {
  const report = Promise.withResolvers<Report>();
  return {
    report: report.promise,
    async answer(request: IncomingMessage, response: ServerResponse, url: string) {
      const body = await text(request);
      if (request.url === "/report") report.resolve(JSON.parse(body) as Report);
      response.setHeader("content-type", "text/html");
      response.end(request.url === "/page" ? pageFor(url) : "data");
    },
  };
}

describe.each(["gateway", "gateway-push"] as const)("a page in Chromium beside %s", (config) => {
  const parts = new AsyncDisposableStack();
  const own = createSite();
  /** Every request and WebSocket that reached the private service. */
  const served: string[] = [];
  let container: HttpService;
  let gateway: Gateway;

  beforeAll(async () => {
    const sockets = new WebSocketServer({ noServer: true });
    parts.defer(() => sockets.close());
    container = parts.use(
      await startHttpService({
        request: (request, response) => {
          served.push(`${request.method} ${request.url}`);
          void own.answer(request, response, gateway.url);
        },
        upgrade: (request, socket) => {
          served.push("WebSocket");
          sockets.handleUpgrade(request, socket, Buffer.alloc(0), (client) => client.send("data"));
        },
      }),
    );
    gateway = parts.use(await startGateway({ container, config }));
  });
  afterAll(() => parts.disposeAsync());

  it("cannot use the gateway if it is of another site", async () => {
    served.length = 0;
    const site = createSite();
    await using server = createServer((request, response) => {
      void site.answer(request, response, gateway.url);
    });
    const port = await listenOnLoopback(server);
    await using browser = new AsyncDisposableStack();
    browser.use(await openPage(`http://evil.localhost:${port}/page`));
    // A page never sees the answer to its no-cors request: the service must not have got one.
    expect(await site.report).toEqual({ read: "failed", write: "sent", webSocket: "failed" });
    expect(served).toEqual([]);
  });

  it("can use the gateway if the gateway served it", async () => {
    await using browser = new AsyncDisposableStack();
    browser.use(await openPage(`${gateway.url}/page`));
    expect(await own.report).toEqual({ read: "data", write: "sent", webSocket: "data" });
    expect(served).toEqual(expect.arrayContaining(["GET /page", "POST /", "WebSocket"]));
  });
});
