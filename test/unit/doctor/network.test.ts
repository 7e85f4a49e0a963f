import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createCertificateAuthority } from "../../../src/envoy/certificates.ts";
import {
  ask,
  askForText,
  askForTunnel,
  openSocket,
  resolveHost,
  startTls,
} from "../../../src/doctor/network.ts";
import { startHttpProxy } from "../../support/http-proxy.ts";
import { listenOnLoopback } from "../../support/loopback.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";
import { startTlsFront } from "../../support/tls-front.ts";

const parts = new AsyncDisposableStack();
const timeoutMs = 5000;
let http: Server;
let port = 0;
beforeAll(async () => {
  http = parts.use(createServer((request, response) => void response.end(request.headers.host)));
  port = await listenOnLoopback(http);
});
afterAll(() => parts.disposeAsync());

const open = (to: number) => openSocket({ kind: "tcp", host: "127.0.0.1", port: to }, timeoutMs);
const question = { target: "/", headers: { host: "a" }, whom: "the server" };

it("resolveHost lists a name's addresses, and fails for one that does not exist", async () => {
  expect(await resolveHost("localhost", timeoutMs)).toContain("127.0.0.1");
  await expect(resolveHost("a.invalid", timeoutMs)).rejects.toThrow(/^a\.invalid: /);
});

it("openSocket fails with the address when nothing listens there", async () => {
  await expect(open(1)).rejects.toThrow("127.0.0.1:1: connection refused");
});

it("ask sends one request, returns the answer and closes the connection", async () => {
  const socket = await open(port);
  const answer = await ask(socket, { ...question, method: "HEAD", timeoutMs });
  expect(answer.statusCode).toBe(200);
  expect(socket.destroyed).toBe(true);
});

it("openSocket connects to a Unix socket, too, and askForText reads the answer's body", async () => {
  await using folder = await makeTemporaryFolder();
  const path = `${folder.path}/http.sock`;
  const listening = http.listeners("request")[0] as RequestListener;
  await using local = createServer(listening).listen(path);
  await once(local, "listening");
  const socket = await openSocket({ kind: "unix", path }, timeoutMs);
  const answer = await askForText(socket, { ...question, method: "GET", timeoutMs });
  expect(answer).toMatchObject({ status: 200, body: "a" });
  expect(socket.destroyed).toBe(true);
});

it("ask fails after the timeout when there is no answer", async () => {
  await using silent = createTcpServer((socket) => void socket.on("error", () => {}).resume());
  const socket = await open(await listenOnLoopback(silent));
  await expect(ask(socket, { ...question, method: "GET", timeoutMs: 20 })).rejects.toThrow(
    "the server: no answer within 20 ms",
  );
  expect(socket.destroyed).toBe(true);
});

it("askForTunnel returns the proxy's answer and leaves the connection open", async () => {
  await using proxy = await startHttpProxy({ port });
  const socket = await open(Number(proxy.host.split(":")[1]));
  const target = "a.example:443";
  const answer = await askForTunnel(socket, { ...question, target, timeoutMs });
  expect(answer.statusCode).toBe(200);
  expect(proxy.targets).toEqual([target]);
  // The tunnel leads to the HTTP server.
  expect((await ask(socket, { ...question, method: "GET", timeoutMs })).statusCode).toBe(200);
});

it("startTls accepts a trusted certificate and rejects any other", async () => {
  const ca = await createCertificateAuthority("test CA");
  await using front = await startTlsFront({ ca, host: "a.example", port });
  const options = { host: "a.example", trustRemedy: "trust it", timeoutMs };
  const secured = await startTls(await open(front.port), { ...options, ca: ca.certificatePem });
  expect(secured.authorized).toBe(true);
  secured.destroy();
  const socket = await open(front.port);
  await expect(startTls(socket, options)).rejects.toMatchObject({
    message: "a.example: its certificate is from test CA, which is not trusted here",
    remedy: "trust it",
  });
});
