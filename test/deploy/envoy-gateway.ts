import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { vi } from "vitest";
import { parseAllDocuments, stringify } from "yaml";
import { atExit } from "../support/at-exit.ts";
import { runCommand } from "../support/command.ts";
import { findEnvoy } from "../support/envoy-binary.ts";
import { createLineLog } from "../support/line-log.ts";
import { findFreePort } from "../support/loopback.ts";
import { refuseSecrets } from "../support/secrets.ts";
import { ROOT } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

export interface EnvoyGatewayOptions {
  /** The file of deploy/envoy-gateway with the policies. */
  readonly policy: EnvoyGatewayPolicy;
  readonly authServerPort: number;
  readonly cloudRunPort: number;
  /** The CA certificate (PEM) that signed Cloud Run's. */
  readonly ca: string;
  /** What cert-manager would put into the Secret of the client certificate, with TLS. */
  readonly client?: Readonly<Record<"tls.crt" | "tls.key" | "ca.crt", string>>;
}

export type EnvoyGatewayPolicy =
  | "security-policy.yaml"
  | "security-policy-grpc.yaml"
  | "security-policy-tls.yaml";

export interface EnvoyGateway extends AsyncDisposable {
  /** The port of the Gateway's listener. */
  readonly port: number;
}

/** The parts of a resource that are changed here. */
interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; namespace: string };
  readonly spec: {
    endpoints?: unknown;
    tls?: unknown;
    readonly extAuth?: Readonly<Record<"http" | "grpc", { backendRefs: unknown } | undefined>>;
  };
}

const BINARY = join(ROOT, ".cache/deploy/envoy-gateway");
const ENVOY_VERSION = "1.40.0";
const GROUP = "gateway.envoyproxy.io";
const AUTH_SERVER = "idtoken-authz";

/**
 * Starts Envoy Gateway in standalone mode (resources from files, Envoy as a process of this host)
 * with the files of deploy/envoy-gateway, and waits until its Envoy accepts connections.
 */
export async function startEnvoyGateway(options: EnvoyGatewayOptions): Promise<EnvoyGateway> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const port = await findFreePort();
  const envoy = join(folder, `envoy-versions/${ENVOY_VERSION}/bin/envoy`);
  await mkdir(dirname(envoy), { recursive: true });
  await symlink(await findEnvoy(), envoy);
  await mkdir(join(folder, "resources"));
  await writeFile(join(folder, "resources/all.yaml"), await readResources(options, port));
  const config = join(folder, "config.yaml");
  await writeFile(config, stringify(configFor(folder)));

  await runCommand(BINARY, ["certgen", "--local", "--config-home", join(folder, "config")]);
  const child = spawn(BINARY, ["server", "--config-path", config], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = createLineLog<string>();
  const read = [child.stdout, child.stderr].map((output) =>
    once(createInterface(output).on("line", log.push), "close"),
  );
  const ended = once(child, "close").then(() => Promise.all(read));
  const callOff = atExit(() => child.kill("SIGKILL"));
  ended.then(
    () => log.end(`Envoy Gateway ended:\n${log.lines.slice(-20).join("\n")}`),
    () => {},
  );
  parts.defer(async () => {
    child.kill("SIGTERM");
    await ended;
    callOff();
    refuseSecrets(log.lines.join("\n"), "the log of Envoy Gateway");
  });
  await Promise.race([untilConnected(port), log.line(() => false)]);
  const all = parts.move();
  return { port, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Waits until a port accepts connections. */
async function untilConnected(port: number): Promise<void> {
  await vi.waitFor(
    async () => {
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      socket.destroy();
    },
    { timeout: 30_000, interval: 50 },
  );
}

/** Envoy Gateway's own configuration, with all its files in this folder. */
function configFor(folder: string): unknown {
  return {
    apiVersion: `${GROUP}/v1alpha1`,
    kind: "EnvoyGateway",
    gateway: { controllerName: `${GROUP}/gatewayclass-controller` },
    provider: {
      type: "Custom",
      custom: {
        resource: { type: "File", file: { paths: [join(folder, "resources")] } },
        infrastructure: {
          type: "Host",
          host: {
            configHome: join(folder, "config"),
            dataHome: folder,
            stateHome: join(folder, "state"),
            runtimeDir: join(folder, "run"),
          },
        },
      },
    },
    extensionApis: { enableBackend: true },
  };
}

/** The files of deploy/envoy-gateway, directed to this host, with the Gateway that they need. */
async function readResources(options: EnvoyGatewayOptions, port: number): Promise<string> {
  const { policy, authServerPort, cloudRunPort, ca, client } = options;
  const paths = ["routes.yaml", policy].map((name) => join(ROOT, "deploy/envoy-gateway", name));
  const texts = await Promise.all(paths.map((path) => readFile(path, "utf8")));
  const shipped = texts.flatMap((text) =>
    parseAllDocuments(text).map((document) => document.toJS() as Resource),
  );
  for (const { kind, metadata, spec } of shipped) {
    if (kind === "Backend" && metadata.name === AUTH_SERVER) {
      metadata.namespace = "app";
      spec.endpoints = [{ ip: { address: "127.0.0.1", port: authServerPort } }];
    } else if (kind === "Backend") {
      spec.endpoints = [{ ip: { address: "127.0.0.1", port: cloudRunPort } }];
      const caCertificateRefs = [{ group: "", kind: "ConfigMap", name: "ca" }];
      spec.tls = { ...Object(spec.tls), wellKnownCACertificates: undefined, caCertificateRefs };
    } else if (kind === "SecurityPolicy") {
      const service = spec.extAuth?.http ?? spec.extAuth?.grpc;
      if (service === undefined) throw new Error(`${policy} has a policy without a service`);
      // In standalone mode, there are no Services, and no ReferenceGrant applies to a policy.
      service.backendRefs = [{ group: GROUP, kind: "Backend", name: AUTH_SERVER }];
    }
  }
  const authServer = {
    endpoints: [{ ip: { address: "127.0.0.1", port: authServerPort } }],
    ...(policy.includes("grpc") && { appProtocols: [`${GROUP}/h2c`] }),
  };
  const reached =
    client === undefined
      ? resource(`${GROUP}/v1alpha1`, "Backend", `app/${AUTH_SERVER}`, { spec: authServer })
      : resource("v1", "Secret", "app/envoy-gateway-client", {
          type: "kubernetes.io/tls",
          data: Object.fromEntries(
            Object.entries(client).map(([name, text]) => [name, btoa(text)]),
          ),
        });
  const own = [
    resource("v1", "ConfigMap", "app/ca", { data: { "ca.crt": ca } }),
    reached,
    resource(`${GROUP}/v1alpha1`, "EnvoyProxy", "app/host", {
      spec: { provider: { type: "Host", host: { envoyVersion: ENVOY_VERSION } } },
    }),
    resource("gateway.networking.k8s.io/v1", "GatewayClass", "host", {
      spec: {
        controllerName: `${GROUP}/gatewayclass-controller`,
        parametersRef: { group: GROUP, kind: "EnvoyProxy", name: "host", namespace: "app" },
      },
    }),
    resource("gateway.networking.k8s.io/v1", "Gateway", "app/gateway", {
      spec: {
        gatewayClassName: "host",
        listeners: [{ name: "http", protocol: "HTTP", port }],
      },
    }),
  ];
  return [...own, ...shipped].map((each) => stringify(each)).join("---\n");
}

function resource(apiVersion: string, kind: string, id: string, fields: object): object {
  const [name, namespace] = id.split("/").toReversed();
  return { apiVersion, kind, metadata: { name, ...(namespace && { namespace }) }, ...fields };
}
