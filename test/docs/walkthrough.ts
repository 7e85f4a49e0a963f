import { join } from "node:path";
import { vi } from "vitest";
import { runCommand } from "../support/command.ts";
import { createCredentials, type Credentials } from "../support/credential-files.ts";
import { startEnvoyOn } from "../support/envoy-process.ts";
import { runMain, runOrThrow, startServer, type ServerProcess } from "../support/server-process.ts";
import { readBanner } from "../support/tcp-service.ts";
import { startUp } from "../support/up.ts";
import { startFarEnd, type FarEnd } from "./far-end.ts";
import { openRecordingShell, type Invocation, type RecordingShell } from "./shell.ts";

/** What the commands of one document came to. */
export interface Walkthrough {
  /** The status of every request by curl. */
  readonly statuses: string[];
  /** The first line from the TCP server, of every connection by nc. */
  readonly banners: string[];
  /** The marks of every doctor's checks, as in `✓✓✗`. */
  readonly doctors: string[];
}

/** Programs that need Google, a registry or a cluster: they are not run here. */
const SKIPPED = ["gcloud", "docker", "kubectl", "go", "grpcurl", "openssl", "npx"];
const FILES = { "check-secret": "secret", "big.iso": "0".repeat(100_000) };

/** What has been started for a document so far. */
interface Desk {
  readonly parts: AsyncDisposableStack;
  readonly shell: RecordingShell;
  readonly farEnd: FarEnd;
  readonly credentials: Credentials;
  readonly results: Walkthrough;
  /** The auth server, and its address, which each new one takes over. */
  server: ServerProcess | undefined;
  address: string;
  /** What listens on the gateway's and on the tunnel's port. */
  readonly doors: Map<string, { readonly port: number; readonly stop: () => Promise<unknown> }>;
}

/**
 * Follows a document: runs its commands in order as a reader would, with stand-ins for Google and
 * Cloud Run and with free ports in place of the printed ones.
 */
export async function followDocument(blocks: readonly string[]): Promise<Walkthrough> {
  await using parts = new AsyncDisposableStack();
  const programs = ["npm", "envoy", "curl", "nc", ...SKIPPED];
  const shell = parts.use(await openRecordingShell(programs, FILES));
  const farEnd = parts.use(await startFarEnd());
  const desk: Desk = {
    parts,
    shell,
    farEnd,
    credentials: parts.use(await createCredentials(farEnd.google.endpoint)),
    results: { statuses: [], banners: [], doctors: [] },
    server: undefined,
    address: "127.0.0.1:0",
    doors: new Map(),
  };
  // A document need not say how a tunnel server came to be.
  if (blocks.some((block) => block.includes("tunnel-client"))) {
    await farEnd.startTunnelServer(join(shell.folder, "certs"));
  }
  for (const block of blocks) {
    for (const invocation of await shell.run(block)) await follow(desk, invocation);
  }
  return desk.results;
}

async function follow(desk: Desk, { program, args, env }: Invocation): Promise<void> {
  const { doors, results } = desk;
  if (program === "npm") await runScript(desk, args);
  if (program === "envoy") await runEnvoy(desk, args[1] ?? "", env["CHECK_SECRET"]);
  if (program === "curl") await request(desk, args, env["http_proxy"]);
  if (program === "nc") {
    const port = doors.get("tunnel")?.port ?? 0;
    results.banners.push(await readBanner(port, { timeoutMs: 15_000 }));
  }
}

async function runScript(desk: Desk, args: readonly string[]): Promise<void> {
  const script = args.find((arg) => !["run", "-s"].includes(arg));
  const flags = args.slice(args.indexOf("--") + 1);
  if (script === "start") await serve(desk, flags);
  if (script === "up") await runUp(desk, flags);
  if (script === "certs") {
    await desk.farEnd.startTunnelServer(join(desk.shell.folder, flags[0] ?? ""));
  }
  if (script === "doctor" && !flags.includes("--print-token")) {
    const doctor = ["doctor", ...localize(desk, flags), ...toService(desk)];
    const { stdout } = await runMain(doctor);
    desk.results.doctors.push([...stdout.matchAll(/^(\S) \w/gm)].map(([, mark]) => mark).join(""));
  }
}

async function serve(desk: Desk, flags: readonly string[]): Promise<void> {
  await desk.server?.stop();
  const hasListen = flags.includes("--listen");
  const args = [...localize(desk, flags), ...(hasListen ? [] : ["--listen", desk.address])];
  const server = await startServer(args, environment(desk, flags));
  desk.server = desk.parts.use(server);
  if (!hasListen) desk.address = server.address;
  // Without a configured audience there is nothing to mint yet.
  await server.event(flags.includes("--audience") ? "minted" : "listening");
}

async function runUp(desk: Desk, [name = "", ...flags]: readonly string[]): Promise<void> {
  const door = doorOf(name);
  const here = [...localize(desk, flags), ...toService(desk)];
  if (door === "tunnel") here.push(`--cert-dir=${join(desk.shell.folder, "certs")}`);
  await desk.doors.get(door)?.stop();
  const env = { PATH: process.env["PATH"], ...environment(desk, flags) };
  const up = desk.parts.use(await startUp(name, here, { env }));
  const stop = async () => {
    up.signal("SIGTERM");
    await up.ended;
  };
  desk.doors.set(door, { port: up.port, stop });
}

/** Runs Envoy on a config as the earlier command that printed the file renders it here. */
async function runEnvoy(desk: Desk, file: string, secret: string | undefined): Promise<void> {
  const { shell, parts, doors, address } = desk;
  const source = await shell.printedBy(file);
  const [name = "", ...flags] = source?.args.slice(source.args.indexOf("--") + 1) ?? [];
  const door = doorOf(name);
  const isTunnel = door === "tunnel";
  const here = ["--admin=127.0.0.1:0", "--listen=127.0.0.1:0", ...toService(desk)];
  if (name !== "tunnel-client-public") here.push(`--authz=${address}`);
  if (isTunnel) here.push(`--cert-dir=${join(shell.folder, "certs")}`);
  await doors.get(door)?.stop();
  const config = await runOrThrow(["envoy", name, ...localize(desk, flags), ...here]);
  if (secret !== undefined) vi.stubEnv("CHECK_SECRET", secret);
  const envoy = parts.use(await startEnvoyOn(config, name));
  vi.unstubAllEnvs();
  doors.set(door, { port: envoy.port(isTunnel ? "tcp" : "http"), stop: envoy.stop });
}

async function request(
  { doors, address, shell, results }: Desk,
  args: readonly string[],
  proxy: string | undefined,
): Promise<void> {
  // Only Google itself answers these.
  if (args.some((arg) => arg.startsWith("https:"))) return;
  const port = doors.get("gateway")?.port;
  const here = (text: string) =>
    text.replace("127.0.0.1:8080", address).replace(/^(http:\/\/[^/]+):9090/, `$1:${port}`);
  const format = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
  const env = { ...process.env, ...(proxy !== undefined && { http_proxy: here(proxy) }) };
  const options = { cwd: shell.folder, env };
  results.statuses.push(await runCommand("curl", [...format, ...args.map(here)], options));
}

function doorOf(config: string): "tunnel" | "gateway" {
  return config.startsWith("tunnel") ? "tunnel" : "gateway";
}

/** Without a credential file, the program is on Google Cloud, with a metadata server. */
function environment({ credentials }: Desk, flags: readonly string[]): Record<string, string> {
  if (flags.includes("--credentials")) return {};
  const { env, metadata } = credentials;
  return { ...env, HOME: "/no/such/home", GCE_METADATA_HOST: metadata.host };
}

/** Files and sockets as they are here. */
function localize({ farEnd, shell }: Desk, flags: readonly string[]): readonly string[] {
  return flags.map((flag) =>
    flag
      .replace(/^key\.json$/, farEnd.google.keyFile)
      .replace(/^(check-secret|certs)$/, join(shell.folder, "$1"))
      .replace("/run/authz/", `${shell.folder}/`),
  );
}

/** Flags that lead to the stand-in for Cloud Run. */
function toService({ farEnd }: Desk): readonly string[] {
  return farEnd.google.serviceFlags("any").slice(1);
}
