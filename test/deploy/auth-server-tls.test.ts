import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { parsePolicy } from "../../src/access/policy.ts";
import { parseConfig } from "../../src/settings/serve.ts";
import { ROOT } from "../support/server-process.ts";

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
}

interface PodSpec {
  readonly containers: readonly [
    {
      readonly args: readonly string[];
      readonly volumeMounts: readonly {
        readonly name: string;
        readonly mountPath: string;
        readonly subPath?: string;
      }[];
    },
  ];
  readonly volumes: readonly {
    readonly name: string;
    readonly secret?: { readonly secretName: string };
    readonly configMap?: { readonly name: string };
  }[];
}

interface Certificate {
  readonly secretName: string;
  readonly usages?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly uris?: readonly string[];
  readonly issuerRef: { readonly name: string };
}

/** What `kustomize build` makes of the folder. */
const text = await readFile(join(ROOT, ".cache/deploy/auth-server-tls.yaml"), "utf8");
const manifests = parseAllDocuments(text).map((document) => document.toJS() as Manifest);
const ofKind = (kind: string) => manifests.filter((each) => each.kind === kind);
const specsOf = (kind: string) => ofKind(kind).map(({ spec }) => spec);

const [deployment] = specsOf("Deployment") as [{ template: { spec: PodSpec } }];
const pod = deployment.template.spec;
const [{ args, volumeMounts }] = pod.containers;
const certificates = specsOf("Certificate") as readonly Certificate[];

/** The volume that has the file of this flag; whole, so that it is updated. */
function volumeOf(flag: string) {
  const path = args.find((arg) => arg.startsWith(`--${flag}=`))?.split("=")[1] ?? "";
  const mount = volumeMounts.find(({ mountPath }) => mountPath === dirname(path));
  expect(mount?.subPath).toBeUndefined();
  return pod.volumes.find(({ name }) => name === mount?.name);
}

describe("deploy/auth-server-tls", () => {
  it("starts the program with valid flags, for clients with certificates only", () => {
    const shared = { tls: { clientCa: expect.any(String) }, policy: expect.any(String) };
    expect(parseConfig(args, {})).toMatchObject({ shared });
  });

  it("mounts the certificate that cert-manager issues for the name of its Service", () => {
    const secrets = ["tls-cert", "tls-key", "client-ca"].map((flag) => volumeOf(flag)?.secret);
    const [secret] = secrets;
    expect(secrets).toEqual([secret, secret, secret]);
    const issued = certificates.find(({ secretName }) => secretName === secret?.secretName);
    expect(issued?.usages).toContain("server auth");
    expect(issued?.dnsNames).toContain("idtoken-authz.idtoken-authz.svc");
  });

  it("mounts a valid policy, whose callers all have a certificate", () => {
    const name = volumeOf("policy")?.configMap?.name;
    const map = ofKind("ConfigMap").find(({ metadata }) => metadata.name === name);
    const content = map?.data?.["policy.yaml"];
    const { callers } = parsePolicy(content ?? "", "policy.yaml", (account) => account);
    const clients = certificates.filter(({ usages = [] }) => usages.includes("client auth"));
    const names = callers.map((caller) => caller.name);
    expect(clients.flatMap(({ uris = [] }) => uris)).toEqual(names);
  });

  it("issues clients and server from one authority", () => {
    const leaves = certificates.filter(({ usages }) => usages !== undefined);
    const issuers = new Set(leaves.map(({ issuerRef }) => issuerRef.name));
    expect(issuers).toEqual(new Set(["idtoken-authz"]));
  });

  it("comes with the replicas, the disruption budget and the network policy of the one without TLS", () => {
    expect(specsOf("HorizontalPodAutoscaler")).toMatchObject([{ minReplicas: 2 }]);
    expect(ofKind("PodDisruptionBudget")).toHaveLength(1);
    expect(ofKind("NetworkPolicy")).toHaveLength(1);
  });
});
