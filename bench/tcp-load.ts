import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { atExit } from "../test/support/at-exit.ts";
import { buildGoProgram } from "./go-program.ts";

const CONNECTIONS_TO_OPEN = 3000;
const ECHO_BYTES = 128 * 1_048_576;
const ROUND_TRIPS = 1000;

/** The result of a load of a tunnel. */
export interface TunnelLoad {
  readonly figure: number;
  /** How many megabytes, round trips or connections there were. */
  readonly count: number;
}

/**
 * The TCP server behind the tunnels and the load on them: a program in Go, because it takes
 * less of the cores that they share with the tunnels than Node.js does. Each load is sent to a local port, and rejects if a
 * connection fails or carries other bytes than the right ones.
 */
export interface TcpLoad extends AsyncDisposable {
  /** The server's HOST:PORT. */
  readonly target: string;
  /** Measures the megabytes per second echoed through one connection. */
  readonly echoRate: (port: number) => Promise<TunnelLoad>;
  /** Measures the microseconds of a small message's round trip through one connection. */
  readonly roundTripUs: (port: number) => Promise<TunnelLoad>;
  /** Measures how many connections per second can be opened, each until its first line arrives. */
  readonly connectionRate: (port: number) => Promise<TunnelLoad>;
  /** Opens so many connections, waits for the greeting of each and leaves them open. */
  readonly openIdle: (port: number, count: number) => Promise<IdleConnections>;
}

interface IdleConnections extends AsyncDisposable {
  readonly count: number;
}

/** Builds the program and starts the TCP server. */
export async function startTcpLoad(): Promise<TcpLoad> {
  await using parts = new AsyncDisposableStack();
  const program = parts.use(await buildGoProgram("tcp-load"));
  const { address: target } = parts.use(await program.serve(["serve"]));
  const run = async (name: string, port: number, count: number) => {
    await using load = await startLoad(program.file, name, port, count);
    return load.seconds;
  };
  const all = parts.move();
  return {
    target,
    echoRate: async (port) => {
      const count = ECHO_BYTES / 1e6;
      return { figure: count / (await run("echo", port, ECHO_BYTES)), count };
    },
    roundTripUs: async (port) => {
      const seconds = await run("trip", port, ROUND_TRIPS);
      return { figure: (seconds * 1e6) / ROUND_TRIPS, count: ROUND_TRIPS };
    },
    connectionRate: async (port) => {
      const count = CONNECTIONS_TO_OPEN;
      return { figure: count / (await run("open", port, count)), count };
    },
    openIdle: (port, count) => startLoad(program.file, "idle", port, count),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Starts a load and waits for its result. */
async function startLoad(file: string, name: string, port: number, count: number) {
  const child = spawn(file, [name, `127.0.0.1:${port}`, String(count)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const callOff = atExit(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(callOff);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = await lines.next();
  if (line.done) throw new Error(`tcp-load ${name} ended (${child.exitCode ?? child.signalCode})`);
  const { seconds, failed, error } = JSON.parse(line.value) as {
    readonly seconds: number;
    readonly failed: number;
    readonly error: string;
  };
  if (failed > 0) throw new Error(`${failed} connections failed, the first because: ${error}`);
  return {
    seconds,
    count,
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
