import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inUse, serialOf } from "../support/certificates-in-use.ts";
import { startEnvoy, type EnvoyProcess } from "../support/envoy-process.ts";
import { runOrThrow } from "../support/server-process.ts";
import { startTcpService } from "../support/tcp-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

let parts: AsyncDisposableStack;
let folder = "";
let targetPort = 0;

beforeEach(async () => {
  parts = new AsyncDisposableStack();
  folder = parts.use(await makeTemporaryFolder()).path;
  await runOrThrow(["certs", folder, "--keep-ca-key"]);
  await writeFile(join(folder, "ticket-key"), randomBytes(80), { mode: 0o600 });
  targetPort = parts.use(await startTcpService()).port;
});
afterEach(() => parts.disposeAsync());

const SHARED = () => `--session-ticket-key=${join(folder, "ticket-key")}`;

/** Starts a tunnel server, one of several instances of a service. */
async function startInstance(...flags: readonly string[]): Promise<EnvoyProcess> {
  const own = ["--port=0", `--target=127.0.0.1:${targetPort}`, `--cert-dir=${folder}`];
  return parts.use(await startEnvoy("tunnel-server", [...own, ...flags]));
}

/** Opens a tunnel to an instance. Resolves with its session and whether that was resumed. */
async function openSession(instance: EnvoyProcess, session?: Buffer) {
  const read = (name: string) => readFile(join(folder, name));
  const http = connect(`http://127.0.0.1:${instance.port("http")}`);
  const stream = http.request({ ":method": "POST", ":authority": "tunnel-server:443" });
  const tls = connectTls({
    socket: stream,
    servername: "tunnel-server",
    ca: await read("ca.crt"),
    cert: await read("client.crt"),
    key: await read("client.key"),
    ...(session !== undefined && { session }),
  });
  // The tickets precede the first data.
  const tickets: Buffer[] = [];
  tls.on("session", (ticket: Buffer) => tickets.push(ticket));
  await once(tls, "data");
  const resumed = tls.isSessionReused();
  http.destroy();
  const ticket = tickets.at(-1);
  if (ticket === undefined) throw new Error("the tunnel server sent no ticket");
  return { resumed, ticket };
}

describe("a TLS session with the tunnel server", () => {
  it("is resumed by the same instance", async () => {
    const instance = await startInstance();
    const { resumed, ticket } = await openSession(instance);
    expect(resumed).toBe(false);
    expect(await openSession(instance, ticket)).toMatchObject({ resumed: true });
  });

  it.each([
    { shared: true, resumed: true },
    { shared: false, resumed: false },
  ])("is resumed by another instance only if both have one key: $shared", async (row) => {
    const flags = row.shared ? [SHARED()] : [];
    const [one, other] = [await startInstance(...flags), await startInstance(...flags)];
    const { ticket } = await openSession(one);
    expect(await openSession(other, ticket)).toMatchObject({ resumed: row.resumed });
  });

  it.each([
    { shared: true, resumed: true },
    { shared: false, resumed: false },
  ])("outlives a renewal of the certificates only with a shared key: $shared", async (row) => {
    const instance = await startInstance(...(row.shared ? [SHARED()] : []));
    const { ticket } = await openSession(instance);
    await runOrThrow(["certs", folder, "--renew"]);
    await inUse(instance, await serialOf(folder, "server"));
    expect(await openSession(instance, ticket)).toMatchObject({ resumed: row.resumed });
  });

  it("ends with its authority, even with a shared key", async () => {
    const { ticket } = await openSession(await startInstance(SHARED()));
    const other = join(folder, "other");
    await runOrThrow(["certs", other]);
    for (const name of ["ca.crt", "client.crt", "client.key", "server.crt", "server.key"]) {
      await rename(join(other, name), join(folder, name));
    }
    await rm(other, { recursive: true });
    const instance = await startInstance(SHARED());
    expect(await openSession(instance, ticket)).toMatchObject({ resumed: false });
  });
});
