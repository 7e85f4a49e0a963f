import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { isExposed, parseConfig } from "../../src/settings/serve.ts";
import { parseUpFlags } from "../../src/settings/up.ts";
import { parseEnvoyFlags } from "../../src/settings/envoy.ts";
import { ROOT } from "../support/server-process.ts";

/** A container that runs the program, as described by a Kubernetes manifest or Compose. */
interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const SERVICE_URL = "https://api-abc123-ew.a.run.app";
const BUILT = join(ROOT, ".cache/deploy");

async function readCompose(): Promise<{
  services: Record<
    string,
    { image: string; command: string[]; environment?: Record<string, string>; ports?: unknown[] }
  >;
}> {
  return JSON.parse(await readFile(join(BUILT, "compose.json"), "utf8"));
}

interface PodContainer {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
}

async function kubernetesContainers(path: string): Promise<readonly Container[]> {
  const documents = parseAllDocuments(await readFile(path, "utf8")).map((each) => each.toJS());
  const { initContainers = [], containers } = documents.find(({ kind }) => kind === "Deployment")
    .spec.template.spec as { initContainers?: PodContainer[]; containers: PodContainer[] };
  return [...initContainers, ...containers]
    .filter(({ image }) => image.includes("idtoken-authz"))
    .map(({ name, args = [], env = [] }) => ({
      name,
      args: args.map((arg) => arg.replace("$(SERVICE_URL)", SERVICE_URL)),
      env: Object.fromEntries(env.map((each) => [each.name, each.value ?? SERVICE_URL])),
    }));
}

const PLACES = [
  ["deploy/kubernetes/base", () => kubernetesContainers(join(BUILT, "base.yaml"))],
  [
    "deploy/kubernetes/workload-identity-federation",
    () => kubernetesContainers(join(BUILT, "workload-identity-federation.yaml")),
  ],
] as const;

describe.each(PLACES)("%s", (_, read) => {
  it("starts the program with valid flags", async () => {
    for (const { args, env } of await read()) {
      const parse = () =>
        args[0] === "envoy" ? parseEnvoyFlags(args.slice(1), env) : parseConfig(args, env);
      expect(parse).not.toThrow();
    }
  });

  it("serves tokens for the service, on loopback only", async () => {
    const servers = (await read()).filter(({ args }) => args[0] !== "envoy");
    expect(servers).toHaveLength(1);
    for (const { args, env } of servers) {
      const config = parseConfig(args, env);
      expect(isExposed(config.listen)).toBe(false);
      expect(config.audiences).toEqual([SERVICE_URL]);
    }
  });
});

describe("compose.yaml", () => {
  it("runs up with valid flags, for the service", async () => {
    const { services } = await readCompose();
    for (const { command, environment = {} } of Object.values(services)) {
      const [up, ...flags] = command;
      expect(up).toBe("up");
      expect(parseUpFlags(flags, environment, false).server.audiences).toEqual([SERVICE_URL]);
    }
  });

  it("publishes the gateway and the tunnel to this machine only", async () => {
    const { services } = await readCompose();
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    expect(ports).toMatchObject([
      { host_ip: "127.0.0.1", published: "9090", target: 9090 },
      { host_ip: "127.0.0.1", published: "7777", target: 7777 },
    ]);
  });
});
