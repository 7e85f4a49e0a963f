import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { envoyConfigNames, parseEnvoyFlags } from "../../../src/commands/envoy.ts";
import { envoyVariables, placeholdersOf, renderEnvoyConfig } from "../../../src/envoy/compose.ts";
import { UsageError } from "../../../src/system/errors.ts";
import { ROOT } from "../../support/server-process.ts";

const SERVICE = ["--service-url", "https://svc-abc123-ew.a.run.app"];

describe("parseEnvoyFlags", () => {
  it("gives every option its default", () => {
    const { name, options } = parseEnvoyFlags(["tunnel-client", ...SERVICE, "--service-ca", "/ca"]);
    expect(name).toBe("tunnel-client");
    expect(options).toMatchObject({
      service: { kind: "tcp", host: "svc-abc123-ew.a.run.app", port: 443 },
      listen: { kind: "tcp", host: "127.0.0.1", port: 7777 },
      authz: { kind: "tcp", host: "127.0.0.1", port: 8080 },
      admin: "none",
      serviceCa: "/ca",
    });
  });

  it("takes the name before or after the flags", () => {
    expect(parseEnvoyFlags(["--port", "9000", "tunnel-server"]).name).toBe("tunnel-server");
  });

  it.each([
    ["no name", [], "NAME (one of tunnel-client"],
    ["an unknown name", ["tunnel"], 'NAME "tunnel": must be one of'],
    ["no service", ["tunnel-client"], "--service-url: must be given"],
    ["a flag of other configs", ["tunnel-server", ...SERVICE], "tunnel-server has no use for it"],
    [
      "a service with a path",
      ["tunnel-client", "--service-url", "https://a.b/c"],
      "must be https://",
    ],
    [
      "a service by address",
      ["tunnel-client", "--service-url", "https://1.2.3.4"],
      "must be https",
    ],
    ["a listener by name", ["tunnel-client", ...SERVICE, "--listen", "a.b:1"], "an IP address"],
    ["a path that breaks out", ["tunnel-server", "--cert-dir", 'a"b'], "without quotes"],
    ["a port of 0 to connect to", ["tunnel-server", "--target", "a.b:0"], "must be a port"],
    ["a hostname with an underscore", ["tunnel-server", "--target", "a_b:1"], "must be HOST:PORT"],
  ])("refuses %s", (_what, argv, rule) => {
    expect(() => parseEnvoyFlags(argv)).toThrow(UsageError);
    expect(() => parseEnvoyFlags(argv)).toThrow(rule);
  });
});

describe("renderEnvoyConfig", () => {
  it("fills every placeholder", () => {
    expect(renderEnvoyConfig('a: "${A}"\nb: ${B}${A}', { A: "1", B: "$&" })).toBe('a: "1"\nb: $&1');
  });

  it("refuses what is missing and what is too much", () => {
    expect(() => renderEnvoyConfig("${A}", { B: "" })).toThrow(
      "no variable for ${A}, no placeholder",
    );
  });
});

describe("the head of each config", () => {
  it.each(envoyConfigNames)("%s names just the variables that the file needs", async (name) => {
    const template = await readFile(join(ROOT, "envoy", `${name}.yaml`), "utf8");
    const documented = [...template.matchAll(/^# {3}export (\w+)=/gm)].map(([, each]) => each);
    expect(new Set(documented)).toEqual(placeholdersOf(template));
  });
});

describe("envoyVariables", () => {
  it("resolves names again and again, and addresses never", () => {
    const port = 8080;
    const typeOf = (host: string) =>
      envoyVariables({ authz: { kind: "tcp", host, port } })["AUTHZ_CLUSTER_TYPE"];
    expect(typeOf("127.0.0.1")).toBe("STATIC");
    expect(typeOf("::1")).toBe("STATIC");
    expect(typeOf("authz.internal")).toBe("STRICT_DNS");
  });
});
