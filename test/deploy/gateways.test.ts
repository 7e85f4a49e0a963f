import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { parseConfig } from "../../src/settings/serve.ts";
import { ROOT } from "../support/server-process.ts";

type Fields = Readonly<Record<string, unknown>>;

const DEPLOY = join(ROOT, "deploy");

async function readDocuments(path: string): Promise<readonly Fields[]> {
  const text = await readFile(join(DEPLOY, path), "utf8");
  return parseAllDocuments(text).map((document) => document.toJS() as Fields);
}

interface Backend {
  readonly port: unknown;
  readonly protocol: "http" | "grpc";
}

interface Deployment {
  readonly template: {
    readonly spec: {
      readonly containers: readonly [
        { readonly args: string[]; readonly ports: readonly { readonly containerPort: number }[] },
      ];
    };
  };
}

const HTTP_KEYS = new Set(["http", "envoyExtAuthzHttp"]);

/** Finds the references to the auth server in a document; they are for gRPC unless it says HTTP. */
function findBackends(value: unknown, outer: Backend["protocol"] = "grpc"): readonly Backend[] {
  if (typeof value !== "object" || value === null) return [];
  const { name, service, port, protocol: named } = value as Fields;
  const protocol = named === "HTTP" ? "http" : outer;
  const isBackend = port !== undefined && String(service ?? name).startsWith("idtoken-authz");
  const inner = Object.entries(value).flatMap(([key, each]) =>
    findBackends(each, HTTP_KEYS.has(key) ? "http" : protocol),
  );
  return isBackend ? [{ port, protocol }, ...inner] : inner;
}

const authServer = await readDocuments("auth-server/authz.yaml");
const ofKind = (kind: string) => authServer.find((document) => document["kind"] === kind)?.["spec"];
const servicePorts = (ofKind("Service") as { ports: readonly Fields[] }).ports;
const files: string[] = [];
for await (const path of glob("{contour,envoy-gateway,gateway-api,istio,kgateway}/*.yaml", {
  cwd: DEPLOY,
})) {
  files.push(path);
}

describe.each(files)("deploy/%s", (path) => {
  it("sends its checks to the port of the auth server that speaks their protocol", async () => {
    for (const { port, protocol } of findBackends(await readDocuments(path))) {
      expect(servicePorts).toContainEqual(expect.objectContaining({ name: protocol, port }));
    }
  });

  it("never sends a request on without a token", async () => {
    expect(JSON.stringify(await readDocuments(path))).not.toContain('"failOpen":true');
  });
});

/** Every text that the keys have, at any depth. */
function textsOf(value: unknown, keys: ReadonlySet<string>, key = ""): readonly string[] {
  if (typeof value === "string") return keys.has(key) ? [value] : [];
  if (typeof value !== "object" || value === null) return [];
  const isList = Array.isArray(value);
  return Object.entries(value).flatMap(([name, each]) => textsOf(each, keys, isList ? key : name));
}

/** By which gateways say which name the auth server's certificate must have. */
const SERVER_NAME_KEYS = new Set([
  "sni",
  "hostname",
  "subjectName",
  "subjectNames",
  "subjectAltNames",
  "verifySubjectAltNames",
]);

it("The gateways that use TLS expect the name in the auth server's certificate.", async () => {
  const certificates = await readDocuments("auth-server-tls/certificates.yaml");
  const names = certificates.flatMap((document) => textsOf(document, new Set(["dnsNames"])));
  const found = new Map<string, readonly string[]>();
  for (const path of files) {
    const texts = textsOf(await readDocuments(path), SERVER_NAME_KEYS);
    const ofServer = texts.filter((text) => text.startsWith("idtoken-authz."));
    if (ofServer.length > 0) found.set(path, ofServer);
  }
  expect(new Set([...found.keys()].map((path) => path.split("/")[0]))).toEqual(
    new Set(["contour", "envoy-gateway", "gateway-api", "istio", "kgateway"]),
  );
  for (const name of [...found.values()].flat()) expect(names).toContain(name);
});

describe("deploy/auth-server", () => {
  it("starts the program with valid flags on the ports of its Service and NetworkPolicy", () => {
    const [container] = (ofKind("Deployment") as Deployment).template.spec.containers;
    const { listen, adminListen } = parseConfig(container.args, {});
    expect([listen, adminListen]).toMatchObject(
      container.ports.map(({ containerPort: port }) => ({ port })),
    );
    const targets = servicePorts.map(({ port, targetPort }) => targetPort ?? port);
    expect(targets).toEqual([8080, 8080]);
    const { ingress } = ofKind("NetworkPolicy") as { ingress: { ports: { port: number }[] }[] };
    expect(ingress.flatMap((rule) => rule.ports.map(({ port }) => port))).toEqual([8080, 9091]);
  });
});
