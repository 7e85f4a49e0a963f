import { describe, expect, it } from "vitest";
import { parseUpFlags, upConfigNames } from "../../../src/settings/up.ts";
import { UsageError } from "../../../src/system/errors.ts";

const SERVICE = ["--service-url=https://Svc-abc123-ew.a.run.app/", "--service-ca=/ca"];
const URL = "https://svc-abc123-ew.a.run.app";

const parse = (argv: readonly string[], env: NodeJS.ProcessEnv = {}, isTerminal = false) =>
  parseUpFlags(argv, env, isTerminal);

describe("the flags of up", () => {
  it("runs every config but that of the server's end", () => {
    expect(upConfigNames).toContain("gateway-push");
    expect(upConfigNames).not.toContain("tunnel-server");
    expect(() => parse(["tunnel-server"])).toThrow(/^NAME "tunnel-server": must be one of tunnel-/);
  });

  it("takes the service's URL for the audience of both programs", () => {
    const { server, envoy } = parse(["gateway", ...SERVICE]);
    expect(server.audiences).toEqual([URL]);
    expect(envoy.audience).toBe(URL);
  });

  it("gives Envoy the first audience, where audiences are given", () => {
    const { server, envoy } = parse(["gateway", ...SERVICE], { AUDIENCE: "https://a.run.app,b" });
    expect(server.audiences).toEqual(["https://a.run.app", "b"]);
    expect(envoy.audience).toBe("https://a.run.app");
  });

  it("means Envoy's address by --listen, and does not read that of serve", () => {
    const { envoy } = parse(["gateway", ...SERVICE], { LISTEN: "0.0.0.0:1" });
    expect(envoy.listen).toEqual({ kind: "tcp", host: "127.0.0.1", port: 9090 });
  });

  it("reads the auth server's settings from the environment, and ENVOY_BIN", () => {
    const env = { DRAIN_TIMEOUT: "1s", ENVOY_BIN: "/opt/envoy" };
    const { server, binary, probe } = parse(["gateway", ...SERVICE, "--no-probe"], env);
    expect(server.drainTimeoutMs).toBe(1000);
    expect(binary).toBe("/opt/envoy");
    expect(probe).toBe(false);
  });

  it.each([
    [false, {}, "info"],
    [true, {}, "warn"],
    [true, { LOG_LEVEL: "debug" }, "debug"],
  ])("with a terminal: %s and %j, logs from %j", (isTerminal, env, level) => {
    expect(parse(["gateway", ...SERVICE], env, isTerminal).server.logLevel).toBe(level);
  });

  it("reports every fault, those of either program", () => {
    const flags = ["--service-url=http://a", "--refresh-at=2", "--authz=127.0.0.1:1"];
    const parsing = () => parse(["gateway-push", "--service-ca=/ca", ...flags]);
    expect(parsing).toThrow(UsageError);
    for (const flag of ["--service-url", "--refresh-at", "--authz"]) {
      expect(parsing).toThrow(flag);
    }
  });

  it("wants the services to allow, where no one service is named", () => {
    expect(() => parse(["gateway-any", "--service-ca=/ca"])).toThrow(
      new UsageError([
        "--allow-audience: must be given: the services to call, as in https://*.run.app",
      ]),
    );
    const { server, envoy } = parse([
      "gateway-any",
      "--service-ca=/ca",
      "--allow-audience=https://*.run.app",
    ]);
    expect(server.allowAudiences).toEqual(["https://*.run.app"]);
    expect(envoy.audience).toBeUndefined();
  });

  it("wants a NAME", () => {
    expect(() => parse([...SERVICE])).toThrow(/NAME \(one of .*\): must be given/);
  });
});
