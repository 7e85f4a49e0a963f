import { chmod, chown, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { API_AUDIENCE, API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { findFreePort } from "../support/loopback.ts";
import { ROOT } from "../support/server-process.ts";
import { readBanner } from "../support/tcp-service.ts";
import { startTunnelService, TUNNEL_HOST, type TunnelService } from "../support/tunnel.ts";
import { podman, startContainer, type Container } from "./container.ts";

/** A service as Compose reads it, in the file that .ci/deploy writes. */
interface Service {
  readonly image: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly user: string;
  readonly read_only: boolean;
  readonly tmpfs: readonly string[];
  readonly cap_drop: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt: readonly string[];
  readonly volumes: readonly { target: string; read_only?: boolean }[];
}

const { services } = JSON.parse(
  await readFile(join(ROOT, ".cache/deploy/compose.json"), "utf8"),
) as { services: Readonly<Record<string, Service>> };

const parts = new AsyncDisposableStack();
let google: Google;
let tunnel: TunnelService;

beforeAll(async () => {
  const container = parts.use(
    await startHttpService({ request: (request, response) => response.end(request.url) }),
  );
  const service = { host: API_HOST, audiences: [API_AUDIENCE], ...container };
  google = parts.use(await startGoogle({ services: [service] }));
  tunnel = parts.use(await startTunnelService());
  // Files of the user that the containers run as, which nobody else may read.
  for (const { keyFile, caFile, folder } of [google, tunnel.google]) {
    await chmod(folder, 0o755);
    await chmod(keyFile, 0o600);
    for (const file of [keyFile, caFile]) await chown(file, 1000, 1000);
  }
  await chmod(tunnel.certDir, 0o755);
  await chown(join(tunnel.certDir, "client.key"), 1000, 1000);
}, 120_000);
afterAll(() => parts.disposeAsync());

/**
 * Starts a service as Compose does, on this machine's network and with further flags, which win.
 * `sources` has what is mounted, by its place in the container.
 */
function start(
  name: string,
  flags: readonly string[],
  sources: Readonly<Record<string, string>>,
): Container {
  const service = services[name];
  if (service === undefined) throw new Error(`there is no service ${name}`);
  const mounts = service.volumes.map(
    ({ target, read_only }) => `--volume=${sources[target]}:${target}${read_only ? ":ro" : ""}`,
  );
  return startContainer(
    service.image,
    [...service.command, ...flags],
    [
      `--user=${service.user}`,
      ...(service.read_only ? ["--read-only", "--read-only-tmpfs=false"] : []),
      ...service.tmpfs.map((path) => `--tmpfs=${path}`),
      ...service.cap_drop.map((capability) => `--cap-drop=${capability.toLowerCase()}`),
      ...(service.cap_add ?? []).map((capability) => `--cap-add=${capability}`),
      ...service.security_opt.map((option) => `--security-opt=${option.replace(":true", "")}`),
      ...Object.entries(service.environment).map(([key, value]) => `--env=${key}=${value}`),
      "--network=host",
      ...mounts,
      `--volume=${sources["/ca.crt"]}:/ca.crt:ro`,
    ],
  );
}

describe("the services of compose.yaml", () => {
  it("run without root and without capabilities", () => {
    for (const { user, cap_drop, cap_add } of Object.values(services)) {
      expect(user).toBe("1000:1000");
      expect(cap_drop).toEqual(["ALL"]);
      expect(cap_add).toBeUndefined();
    }
  });

  it("have a gateway that sends requests to the service, and that is healthy", async () => {
    const [port, admin] = [await findFreePort(), await findFreePort()];
    const flags = [
      `--listen=0.0.0.0:${port}`,
      `--admin-listen=127.0.0.1:${admin}`,
      `--connect-to=127.0.0.1:${google.cloudRun.port}`,
      "--service-ca=/ca.crt",
    ];
    await using gateway = start("gateway", flags, {
      "/key.json": google.keyFile,
      "/ca.crt": google.caFile,
    });
    await gateway.line((line) => line.includes("ready: "));
    const response = await fetch(`http://127.0.0.1:${port}/hello`);
    expect([response.status, await response.text()]).toEqual([200, "/hello"]);
    await expect(podman("healthcheck", "run", gateway.name)).resolves.toBe("");
    expect(await gateway.stop()).toBe(0);
  });

  it("have a tunnel that carries TCP connections to the service", async () => {
    const [port, admin] = [await findFreePort(), await findFreePort()];
    const flags = [
      `--listen=0.0.0.0:${port}`,
      `--admin-listen=127.0.0.1:${admin}`,
      ...tunnel.google.serviceFlags(TUNNEL_HOST).filter((flag) => !flag.includes("service-ca")),
      "--service-ca=/ca.crt",
    ];
    await using container = start("tunnel", flags, {
      "/key.json": tunnel.google.keyFile,
      "/ca.crt": tunnel.google.caFile,
      "/certs": tunnel.certDir,
    });
    await container.line((line) => line.includes("ready: "));
    expect(await readBanner(port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
  });
});
