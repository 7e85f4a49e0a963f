import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { atExit } from "./at-exit.ts";
import { findEnvoy, findOlderEnvoy } from "./envoy-binary.ts";
import { createLineLog } from "./line-log.ts";
import { refuseSecrets } from "./secrets.ts";
import { runOrThrow } from "./server-process.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

export interface EnvoyProcess extends AsyncDisposable {
  /** The port of a listener by its name in the config. Throws an Error when there is none. */
  readonly port: (listener: string) => number;
  readonly adminPort: number;
  /** Everything it has written so far, including the access log. */
  readonly logs: () => string;
  /** Resolves with the first line, past or future, that contains `text`; rejects if Envoy ends. */
  readonly line: (text: string) => Promise<string>;
  readonly process: ChildProcess;
  /** Stops it and waits for its exit. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts Envoy with a shipped config, rendered with these flags as users render it and then edited,
 * and waits until it accepts connections. It is of the release that `--envoy-version` names. Rejects
 * with its last lines if it exits.
 */
export async function startEnvoy(
  name: string,
  flags: readonly string[],
  edit = (config: string) => config,
): Promise<EnvoyProcess> {
  const [, version] = /(?:^| )--envoy-version=(\S+)/.exec(flags.join(" ")) ?? [];
  const binary = version === undefined ? undefined : await findOlderEnvoy(version);
  return startEnvoyOn(edit(await renderConfig(name, flags)), name, 1, binary);
}

/** Returns what `envoy NAME` prints, with an admin endpoint from which to read the ports. */
export async function renderConfig(name: string, flags: readonly string[]): Promise<string> {
  return runOrThrow(["envoy", name, "--admin", "127.0.0.1:0", ...flags]);
}

/** Does the same as `startEnvoy` with any config whose admin endpoint is on 127.0.0.1:0. */
export async function startEnvoyOn(
  config: string,
  name: string,
  concurrency = 1,
  binary?: string,
): Promise<EnvoyProcess> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const files = { config: join(folder, "envoy.yaml"), admin: join(folder, "admin") };
  await writeFile(files.config, config);
  const child = spawn(binary ?? (await findEnvoy()), argsFor(files, concurrency), {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = readLog(child, name);
  const callOff = atExit(() => child.kill("SIGKILL"));
  parts.defer(async () => {
    child.kill("SIGTERM");
    await log.ended;
    callOff();
  });
  await log.line("starting workers");
  const adminPort = Number((await readFile(files.admin, "utf8")).split(":").at(-1));
  const ports = await readPorts(`http://127.0.0.1:${adminPort}`);
  const all = parts.move();
  const stop = () => all.disposeAsync();
  return {
    port: (listener) => {
      const found = ports.get(listener);
      if (found === undefined) throw new Error(`${name} has no TCP listener ${listener}`);
      return found;
    },
    adminPort,
    logs: () => log.lines.join("\n"),
    line: log.line,
    process: child,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function argsFor(files: { config: string; admin: string }, concurrency: number): string[] {
  const flags = {
    "--config-path": files.config,
    "--admin-address-path": files.admin,
    "--concurrency": String(concurrency),
    // Write the access log without delay instead of every 10 s.
    "--file-flush-interval-msec": "10",
  };
  return ["--disable-hot-restart", ...Object.entries(flags).flat()];
}

function readLog(child: ChildProcess, name: string) {
  const log = createLineLog<string>();
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
  const read = streams.map((stream) => once(createInterface(stream).on("line", log.push), "close"));

  async function readToTheEnd(): Promise<void> {
    // once() rejects when the program cannot be started.
    await once(child, "close").catch((error: unknown) => log.push(String(error)));
    await Promise.all(read);
    log.end(`${name} ended:\n${log.lines.slice(-10).join("\n")}`);
    refuseSecrets(log.lines.join("\n"), `the log of ${name}`);
  }

  const ended = readToTheEnd();
  // Errors are reported to those who await it.
  ended.catch(() => {});
  const line = (part: string) => log.line((each) => each.includes(part));
  return { lines: log.lines, line, ended };
}

/** Reads the listeners' ports once every worker accepts connections. */
async function readPorts(adminUrl: string): Promise<ReadonlyMap<string, number>> {
  const get = async (path: string) => (await fetch(`${adminUrl}${path}`)).text();
  // Each iteration waits for an answer from Envoy, so this is no busy loop.
  while (!(await get("/stats?filter=workers_started")).includes("workers_started: 1")) continue;
  const { listener_statuses: statuses = [] } = JSON.parse(
    await get("/listeners?format=json"),
  ) as ListenersAnswer;
  return new Map(
    statuses.flatMap(({ name, local_address: address }) =>
      address.socket_address ? [[name, address.socket_address.port_value] as const] : [],
    ),
  );
}

interface ListenersAnswer {
  readonly listener_statuses?: readonly {
    readonly name: string;
    readonly local_address: { readonly socket_address?: { readonly port_value: number } };
  }[];
}
