import { chown, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServiceAccount } from "../support/service-account.ts";
import { ROOT, runOrThrow } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { podman, startContainer, type Container } from "./container.ts";

/** A service as Compose reads it, from the file that .ci/deploy writes. */
interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly user: string;
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly cap_add: readonly string[];
  readonly security_opt: readonly string[];
  readonly network_mode?: string;
  readonly volumes: readonly { source: string; target: string; read_only?: boolean }[];
}

const { services } = JSON.parse(
  await readFile(join(ROOT, ".cache/deploy/compose.json"), "utf8"),
) as { services: Readonly<Record<string, Service>> };

const parts = new AsyncDisposableStack();
const running = new Map<string, Container>();
/** The local sources of the volumes that Compose would mount. */
const sources = new Map<string, string>();

beforeAll(async () => {
  const folder = parts.use(await makeTemporaryFolder());
  const key = join(folder.path, "key.json");
  const certs = join(folder.path, "certs");
  await createServiceAccount({ tokenUri: "http://127.0.0.1:1/token" }).writeTo(key);
  await runOrThrow(["certs", certs]);
  // Somebody's own files, that nobody else may read.
  for (const file of [key, join(certs, "client.key")]) await chown(file, 1000, 1000);
  const volume = `config${process.pid}`;
  parts.defer(async () => void (await podman("volume", "rm", "--force", volume)));
  sources.set("config", volume).set("/key.json", key).set("/certs", certs);
});
afterAll(() => parts.disposeAsync());

/** Starts a service as Compose does, without any network except its own loopback. */
function start(name: string): Container {
  const service = services[name];
  if (service === undefined) throw new Error(`there is no service ${name}`);
  const neighbour = service.network_mode?.replace("service:", "");
  const network = neighbour === undefined ? "none" : `container:${running.get(neighbour)?.name}`;
  const mounts = service.volumes.map(({ source, target, read_only }) => {
    const from = sources.get(source) ?? sources.get(target);
    return `--volume=${from}:${target}${read_only ? ":ro" : ""}`;
  });
  const container = startContainer(service.image, service.command ?? [], [
    `--user=${service.user}`,
    ...(service.read_only ? ["--read-only", "--read-only-tmpfs=false"] : []),
    ...service.cap_drop.map((capability) => `--cap-drop=${capability.toLowerCase()}`),
    ...service.cap_add.map((capability) => `--cap-add=${capability}`),
    ...service.security_opt.map((option) => `--security-opt=${option.replace(":true", "")}`),
    ...Object.entries(service.environment ?? {}).map(([key, value]) => `--env=${key}=${value}`),
    `--network=${network}`,
    ...mounts,
  ]);
  running.set(name, container);
  return container;
}

describe("the containers of compose.yaml", () => {
  it("write the Envoy configs, and both Envoys reach the auth server", async () => {
    for (const name of ["gateway-config", "tunnel-config"]) {
      expect(await start(name).ended).toBe(0);
    }
    for (const name of ["gateway", "tunnel"]) {
      const envoy = parts.use(start(name));
      await envoy.line((line) => line.includes("starting workers"));
    }
    const authz = parts.use(start("authz"));
    await authz.line((line) => line.includes('"event":"listening"'));
    const answer = await podman(
      "exec",
      authz.name,
      "/nodejs/bin/node",
      "--input-type=module",
      "-e",
      ASK,
    );
    // The gateway sent a check, and the auth server has no token, as there is no Google.
    expect(answer).toMatch(/^503\n/);
    expect(answer).toMatch(/idtoken_authz_checks_total\{outcome="mint_unavailable"\} [1-9]/);
  });
});

/** Requests a page from the gateway, then the auth server's metrics. */
const ASK = `
  const page = await fetch("http://127.0.0.1:9090/");
  const metrics = await fetch("http://127.0.0.1:8080/metrics");
  console.log(page.status + "\\n" + (await metrics.text()));
`;
