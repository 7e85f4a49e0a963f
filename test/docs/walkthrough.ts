import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { isAbsolute, join } from "node:path";
import { vi } from "vitest";
import { runCommand } from "../support/command.ts";
import { createCredentials } from "../support/credential-files.ts";
import { startEnvoy, startEnvoyOn, type EnvoyProcess } from "../support/envoy-process.ts";
import { API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { listenOnLoopback } from "../support/loopback.ts";
import { runMain, runOrThrow, startServer, type ServerProcess } from "../support/server-process.ts";
import { readBanner, startTcpService } from "../support/tcp-service.ts";
import { TUNNEL_HOST } from "../support/tunnel.ts";
import { openRecordingShell, type Invocation, type RecordingShell } from "./shell.ts";

/** What the commands of one document came to. */
export interface Walkthrough {
  /** The status of every request by curl. */
  readonly statuses: readonly string[];
  /** The first line from the TCP server, of every connection by nc. */
  readonly banners: readonly string[];
  /** The marks of every doctor's checks, as in `✓✓✗`. */
  readonly doctors: readonly string[];
}

/** Programs that need Google, a registry or a cluster: they are only looked at. */
const SKIPPED = new Set(["gcloud", "docker", "kubectl", "go", "grpcurl", "openssl", "npx"]);
const CALLED_HOST = "called-abc123-ew.a.run.app";

/**
 * Follows a document: runs its commands in order as a reader would, with stand-ins for Google and
 * Cloud Run and with free ports in place of the printed ones.
 */
export async function followDocument(blocks: readonly string[]): Promise<Walkthrough> {
  await using parts = new AsyncDisposableStack();
  const programs = ["npm", "envoy", "curl", "nc", ...SKIPPED];
  const files = { "check-secret": "secret", "big.iso": "0".repeat(100_000) };
  const shell = parts.use(await openRecordingShell(programs, files));
  const reader = await createReader(parts, shell);
  for (const block of blocks) {
    for (const invocation of await shell.run(block)) await reader.run(invocation);
  }
  return reader.result();
}

async function createReader(parts: AsyncDisposableStack, shell: RecordingShell) {
  const { google, startTunnelServer } = await startFarEnd(parts);
  const world = parts.use(await createCredentials(google.endpoint));
  const statuses: string[] = [];
  const banners: string[] = [];
  const doctors: string[] = [];
  let server: ServerProcess | undefined;
  let address = "127.0.0.1:0";
  const envoys = new Map<string, EnvoyProcess>();

  /** Names of files and sockets as they are here. */
  const localize = (arg: string) =>
    arg
      .replace(/^key\.json$/, google.keyFile)
      .replace(/^(check-secret|certs)$/, join(shell.folder, "$1"))
      .replace("/run/authz/", `${shell.folder}/`);

  async function serve(args: readonly string[]): Promise<void> {
    await server?.stop();
    const usesMetadataServer = !args.includes("--credentials");
    const env = { ...world.env, HOME: "/no/such/home", GCE_METADATA_HOST: world.metadata.host };
    const listen = args.includes("--listen") ? [] : ["--listen", address];
    server = parts.use(
      await startServer([...args.map(localize), ...listen], usesMetadataServer ? env : {}),
    );
    if (listen.length > 0) ({ address } = server);
    await server.event("minted");
  }

  async function startEnvoyOf(file: string, { CHECK_SECRET: secret }: Invocation["env"]) {
    const source = await shell.printedBy(file);
    const [name = "", ...args] = source?.args.slice(source.args.indexOf("--") + 1) ?? [];
    await envoys.get(doorOf(name))?.stop();
    if (secret !== undefined) vi.stubEnv("CHECK_SECRET", secret);
    const config = await runOrThrow(["envoy", name, ...args.map(localize), ...hereFlags(name)]);
    envoys.set(doorOf(name), parts.use(await startEnvoyOn(config, name)));
    vi.unstubAllEnvs();
  }

  /** Flags that lead an Envoy to the stand-ins. */
  function hereFlags(name: string): readonly string[] {
    const [, ...toService] = google.serviceFlags("any");
    const here = ["--admin=127.0.0.1:0", "--listen=127.0.0.1:0", ...toService];
    if (name !== "tunnel-client-public") here.push(`--authz=${address}`);
    if (name.startsWith("tunnel")) here.push(`--cert-dir=${join(shell.folder, "certs")}`);
    return here;
  }

  async function request(args: readonly string[]): Promise<void> {
    const urls = args.filter((arg) => arg.startsWith("http"));
    // Only Google itself answers these.
    if (urls.some((url) => url.startsWith("https:"))) return;
    const port = envoys.get("gateway")?.port("http");
    const printed = args.map((arg) =>
      arg.replace("127.0.0.1:8080", address).replace(/^(http:\/\/[^/]+):9090/, `$1:${port}`),
    );
    const format = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
    statuses.push(await runCommand("curl", [...format, ...printed], { cwd: shell.folder }));
  }

  async function runNpm(args: readonly string[]): Promise<void> {
    const flags = args.slice(args.indexOf("--") + 1);
    const script = args.find((arg) => !["run", "-s"].includes(arg));
    if (script === "start") await serve(flags);
    if (script === "certs") await startTunnelServer(join(shell.folder, flags[0] ?? ""));
    if (script === "doctor" && !flags.includes("--print-token")) {
      const [, ...toService] = google.serviceFlags("any");
      const { stdout } = await runMain(["doctor", ...flags.map(localize), ...toService]);
      doctors.push([...stdout.matchAll(/^(\S) \w/gm)].map(([, mark]) => mark).join(""));
    }
  }

  return {
    run: async ({ program, args, env }: Invocation): Promise<void> => {
      if (program === "npm") await runNpm(args);
      else if (program === "envoy") await startEnvoyOf(args[1] ?? "", env);
      else if (program === "curl") await request(args);
      else if (program === "nc") {
        const port = envoys.get("tunnel")?.port("tcp") ?? 0;
        banners.push(await readBanner(port, { timeoutMs: 15_000 }));
      }
    },
    result: (): Walkthrough => ({ statuses, banners, doctors }),
  };
}

const doorOf = (config: string) => (config.startsWith("tunnel") ? "tunnel" : "gateway");

/** Cloud Run with an HTTP service, and with a TCP server that awaits its tunnel server. */
async function startFarEnd(parts: AsyncDisposableStack): Promise<{
  readonly google: Google;
  /** Makes the certificates in a folder as `certs` does, and starts the tunnel server with them. */
  readonly startTunnelServer: (certDir: string) => Promise<void>;
}> {
  const container = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello\n") }),
  );
  const tcpService = parts.use(await startTcpService());
  let tunnelServer: EnvoyProcess | undefined;
  const sockets = new Set<Socket>();
  const door = createServer((socket) => {
    const inner = connect(tunnelServer?.port("http") ?? 0, "127.0.0.1");
    for (const each of [socket, inner]) {
      sockets.add(each.on("error", () => {}).on("close", () => sockets.delete(each)));
    }
    socket.pipe(inner).pipe(socket);
  });
  const containerPort = await listenOnLoopback(door);
  parts.defer(async () => {
    for (const socket of sockets) socket.destroy();
    door.close();
    await once(door, "close");
  });
  const { containerProtocol } = container;
  const hosts = [API_HOST, CALLED_HOST].map((host) => ({
    host,
    audiences: [`https://${host}`],
    containerPort: container.containerPort,
    containerProtocol,
  }));
  const tunnel = { host: TUNNEL_HOST, audiences: [`https://${TUNNEL_HOST}`], containerPort };
  const services = [...hosts, { ...tunnel, containerProtocol: "h2c" as const }];
  const google = parts.use(await startGoogle({ services }));

  async function startTunnelServer(certDir: string): Promise<void> {
    if (!isAbsolute(certDir)) throw new Error(`${certDir}: must be absolute here`);
    await rm(certDir, { recursive: true, force: true });
    await runOrThrow(["certs", certDir]);
    const target = `--target=127.0.0.1:${tcpService.port}`;
    tunnelServer = parts.use(
      await startEnvoy("tunnel-server", ["--port=0", target, `--cert-dir=${certDir}`]),
    );
  }

  return { google, startTunnelServer };
}
