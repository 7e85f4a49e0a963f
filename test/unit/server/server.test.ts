import { once } from "node:events";
import { connect, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startServer } from "../../../src/server/server.ts";
import { parseConfig } from "../../../src/settings/serve.ts";
import { formatAddress } from "../../../src/system/address.ts";
import { StartError } from "../../../src/system/errors.ts";
import { startKeyedEndpoint } from "../../support/keyed-endpoint.ts";
import { findFreePort, listenOnLoopback } from "../../support/loopback.ts";
import { createContext } from "../../support/server-context.ts";
import { runMain } from "../../support/server-process.ts";

const AUDIENCE = "https://a.run.app";

const parts = new AsyncDisposableStack();
let keyFile = "";
beforeAll(async () => {
  ({ keyFile } = parts.use(await startKeyedEndpoint()));
});
afterAll(() => parts.disposeAsync());

/** A port that another program listens on. */
async function occupyPort() {
  const server = createServer();
  const port = await listenOnLoopback(server);
  return { port, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

interface Options {
  readonly flags: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

function setUp({ flags, env = {} }: Options) {
  const context = createContext(env);
  const config = parseConfig(["--drain-timeout=0s", ...flags], {});
  return { ...context, start: () => startServer(config, context) };
}

const withKey = (...flags: readonly string[]): Options => ({
  flags: [`--credentials=${keyFile}`, `--audience=${AUDIENCE}`, ...flags],
});

/** The code with which a connection fails, undefined when it succeeds. */
async function connectTo(port: number): Promise<string | undefined> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    socket.destroy();
  }
}

it("a server that cannot listen stops everything that it had started", async () => {
  await using taken = await occupyPort();
  const adminPort = await findFreePort();
  const { clock, lines, start } = setUp(
    withKey(`--admin-listen=127.0.0.1:${adminPort}`, `--listen=127.0.0.1:${taken.port}`),
  );
  await expect(start()).rejects.toThrow(StartError);
  expect(await connectTo(adminPort)).toBe("ECONNREFUSED");
  expect(clock.armed()).toEqual([]);
  expect(lines).toEqual([]);
});

it("the program then exits with code 1 and one line that names the address", async () => {
  await using taken = await occupyPort();
  const flags = ["--credentials", keyFile, "--admin-listen=127.0.0.1:0"];
  const run = await runMain([...flags, `--listen=127.0.0.1:${taken.port}`]);
  expect(run).toEqual({
    code: 1,
    stdout: "",
    stderr: `127.0.0.1:${taken.port}: cannot listen: the address is already in use\n`,
  });
});

it("a closed server has no timer armed and has logged its start and its end", async () => {
  const { clock, lines, start } = setUp(
    withKey("--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"),
  );
  const server = await start();
  const response = await fetch(`http://${formatAddress(server.address)}/check`);
  expect(response.status).toBe(200);
  expect(clock.armed()).not.toEqual([]);
  await response.text();
  const closed = server.close();
  clock.advance(0);
  await closed;
  expect(clock.armed()).toEqual([]);
  expect(lines.map(({ event }) => event)).toEqual(["listening", "minted", "draining", "stopped"]);
});

it("a credential's own variables come from the environment that it is given", async () => {
  await using server = createServer((socket) => {
    void text(socket);
    socket.end("HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Length: 0\r\n\r\n");
  });
  const port = await listenOnLoopback(server);
  const env = { HOME: "/no/such/home", GCE_METADATA_HOST: `127.0.0.1:${port}` };
  const { lines, start } = setUp({ env, flags: ["--listen=127.0.0.1:0"] });
  await (await start()).close();
  expect(lines).toContainEqual(expect.objectContaining({ type: "metadata_server" }));
});
