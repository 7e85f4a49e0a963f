import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../src/settings/serve.ts";
import { toSharedConfig } from "../../../src/settings/shared.ts";
import { UsageError } from "../../../src/system/errors.ts";

const TLS = ["--tls-cert=server.crt", "--tls-key=server.key"];
const tls = { cert: "server.crt", key: "server.key", clientCa: undefined };

function faultsOf(argv: readonly string[]): readonly string[] {
  try {
    parseConfig(argv, {});
  } catch (error) {
    if (error instanceof UsageError) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("the settings of a shared server", () => {
  it("are absent without TLS", () => {
    expect(parseConfig([], {}).shared).toBeUndefined();
  });

  it("may be TLS alone", () => {
    expect(parseConfig(TLS, {}).shared).toEqual({ tls, allowClients: [], policy: undefined });
  });

  it("are read from the environment, too", () => {
    const env = {
      TLS_CERT: "server.crt",
      TLS_KEY: "server.key",
      CLIENT_CA: "ca.crt",
      ALLOW_CLIENT: "web.example.com, spiffe://cluster.local/ns/shop/sa/*",
      POLICY: "policy.yaml",
    };
    expect(parseConfig([], env).shared).toEqual({
      tls: { ...tls, clientCa: "ca.crt" },
      allowClients: ["web.example.com", "spiffe://cluster.local/ns/shop/sa/*"],
      policy: "policy.yaml",
    });
  });

  it.each([
    [["--tls-cert=server.crt"], ["--tls-cert: needs --tls-key"]],
    [["--tls-key=server.key"], ["--tls-key: needs --tls-cert"]],
    [["--client-ca=ca.crt"], ["--client-ca: needs --tls-cert"]],
    [
      [...TLS, "--allow-client=web.example.com", "--policy=policy.yaml"],
      [
        "--allow-client: needs --client-ca, by which clients are known",
        "--policy: needs --client-ca, by which clients are known",
      ],
    ],
    [
      [...TLS, "--client-ca=ca.crt", "--policy=policy.yaml", "--allow-audience=team-*"],
      ["--allow-audience: not with --policy, which says what each caller may have"],
    ],
  ])("refuse %j with every fault", (argv, faults) => {
    expect(faultsOf(argv)).toEqual(faults);
  });

  it("refuse a client that matches too much", () => {
    expect(faultsOf([...TLS, "--client-ca=ca.crt", "--allow-client=*"])).toEqual([
      expect.stringMatching(/^--allow-client "\*": matches too much: /),
    ]);
  });
});

describe("toSharedConfig", () => {
  it("reports every rule that is broken", () => {
    const faults: string[] = [];
    const given = { tlsCert: "a", tlsKey: undefined, clientCa: undefined };
    const config = toSharedConfig({ ...given, allowClients: ["b"], policy: "c" }, (fault) => {
      faults.push(fault);
    });
    expect(config).toBeUndefined();
    expect(faults).toHaveLength(3);
  });
});
