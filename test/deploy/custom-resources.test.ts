import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { ROOT } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const TOOLS = join(ROOT, ".cache/deploy");

it.each([
  [
    "an unknown field",
    "auth-server-tls/certificates.yaml",
    ["dnsNames:", "dnsName:"],
    "unknown fields: spec.dnsName",
  ],
  [
    "an unknown value",
    "auth-server-tls/certificates.yaml",
    ["algorithm: ECDSA", "algorithm: DSA"],
    "supported values",
  ],
  [
    "a wrong type",
    "contour/extension-service-tls.yaml",
    ["port: 8081", "port: grpc"],
    "must be of type integer",
  ],
  [
    "what breaks a rule in CEL",
    "envoy-gateway/security-policy-tls.yaml",
    ["{ group: gateway.networking.k8s.io, kind: HTTPRoute", "{ group: apps, kind: HTTPRoute"],
    "targetRefs[*].group",
  ],
] as const)(
  "The check of custom resources refuses %s.",
  async (_what, file, [good, bad], fault) => {
    await using folder = await makeTemporaryFolder();
    const text = await readFile(join(ROOT, "deploy", file), "utf8");
    const path = join(folder.path, "resource.yaml");
    const flags = ["-crds", join(TOOLS, "crds"), path];
    const check = () => runCommand(join(TOOLS, "custom-resources"), flags);
    await writeFile(path, text);
    await check();
    await writeFile(path, text.replace(good, bad));
    await expect(check()).rejects.toThrow(fault);
  },
);
