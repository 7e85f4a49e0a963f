import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { ROOT } from "../support/server-process.ts";

type Labels = Readonly<Record<string, string>>;

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly namespace: string };
  readonly spec: {
    readonly podSelector?: { readonly matchLabels?: Labels };
    readonly template: { readonly metadata: { readonly labels: Labels } };
  };
}

async function readManifests(path: string): Promise<readonly Manifest[]> {
  const documents = parseAllDocuments(await readFile(join(ROOT, path), "utf8"));
  return documents.map((document) => document.toJS() as Manifest);
}

/** Whether a policy governs a pod with these labels. */
function governs({ spec }: Manifest, labels: Labels): boolean {
  const wanted = Object.entries(spec.podSelector?.matchLabels ?? {});
  return wanted.every(([name, value]) => labels[name] === value);
}

describe.each([
  ".cache/deploy/base.yaml",
  ".cache/deploy/workload-identity-federation.yaml",
  "deploy/auth-server/authz.yaml",
  ".cache/deploy/auth-server-tls.yaml",
])("the network policies of %s", (path) => {
  it("govern the workload's own pods and no others of its namespace", async () => {
    const manifests = await readManifests(path);
    const policies = manifests.filter(({ kind }) => kind === "NetworkPolicy");
    const deployment = manifests.find(({ kind }) => kind === "Deployment");
    expect(policies).not.toEqual([]);
    for (const policy of policies) {
      expect(policy.metadata.namespace).toBe(deployment?.metadata.namespace);
      expect(governs(policy, deployment?.spec.template.metadata.labels ?? {})).toBe(true);
      expect(governs(policy, { "app.kubernetes.io/name": "another" })).toBe(false);
      expect(governs(policy, {})).toBe(false);
    }
  });
});
