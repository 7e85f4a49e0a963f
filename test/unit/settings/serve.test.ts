import { describe, expect, it } from "vitest";
import { isExposed, parseConfig, serveSettings } from "../../../src/settings/serve.ts";
import { UsageError } from "../../../src/system/errors.ts";
import { formatHelp } from "../../../src/settings/table.ts";

const given = ["--credentials", "key.json"];

function faultsOf(argv: readonly string[], env: NodeJS.ProcessEnv = {}): readonly string[] {
  try {
    parseConfig(argv, env);
  } catch (error) {
    if (error instanceof UsageError) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("parseConfig", () => {
  it("has the defaults that deployments rely on", () => {
    expect(parseConfig(given, {})).toEqual({
      listen: { kind: "tcp", host: "127.0.0.1", port: 8080 },
      adminListen: undefined,
      credentials: "key.json",
      impersonate: undefined,
      audiences: [],
      allowAudiences: [],
      audienceFromHost: false,
      tokenHeader: "authorization",
      refreshAt: 0.75,
      mintTimeoutMs: 5000,
      maxAudiences: 1000,
      checkSecretFile: undefined,
      logLevel: "info",
      drainTimeoutMs: 10_000,
    });
  });

  it("reads every setting from its environment variable", () => {
    const config = parseConfig([], {
      LISTEN: "[::1]:9000",
      ADMIN_LISTEN: "0.0.0.0:9001",
      GOOGLE_APPLICATION_CREDENTIALS: "/keys/a.json",
      IMPERSONATE: "a@p.iam.gserviceaccount.com, b@p.iam.gserviceaccount.com",
      AUDIENCE: "https://a.run.app, https://b.run.app",
      ALLOW_AUDIENCE: "https://*.run.app",
      AUDIENCE_FROM_HOST: "true",
      TOKEN_HEADER: "X-Serverless-Authorization",
      REFRESH_AT: "0.5",
      MINT_TIMEOUT: "1500ms",
      MAX_AUDIENCES: "7",
      CHECK_SECRET_FILE: "/run/secrets/check",
      LOG_LEVEL: "DEBUG",
      DRAIN_TIMEOUT: "1m",
    });
    expect(config).toEqual({
      listen: { kind: "tcp", host: "::1", port: 9000 },
      adminListen: { kind: "tcp", host: "0.0.0.0", port: 9001 },
      credentials: "/keys/a.json",
      impersonate: {
        account: "a@p.iam.gserviceaccount.com",
        delegates: ["b@p.iam.gserviceaccount.com"],
      },
      audiences: ["https://a.run.app", "https://b.run.app"],
      allowAudiences: ["https://*.run.app"],
      audienceFromHost: true,
      tokenHeader: "x-serverless-authorization",
      refreshAt: 0.5,
      mintTimeoutMs: 1500,
      maxAudiences: 7,
      checkSecretFile: "/run/secrets/check",
      logLevel: "debug",
      drainTimeoutMs: 60_000,
    });
  });

  it("lets a flag beat the environment, and an empty variable count as unset", () => {
    const env = { MINT_TIMEOUT: "9s", AUDIENCE: "https://env.run.app", LOG_LEVEL: "" };
    const config = parseConfig(
      [...given, "--mint-timeout=2s", "--audience", "https://a", "--audience", "b,c"],
      env,
    );
    expect(config.mintTimeoutMs).toBe(2000);
    expect(config.audiences).toEqual(["https://a", "b", "c"]);
    expect(config.logLevel).toBe("info");
  });

  it("takes a switch with and without a value", () => {
    expect(parseConfig([...given, "--audience-from-host"], {}).audienceFromHost).toBe(true);
    const off = [...given, "--audience-from-host=off"];
    expect(parseConfig(off, { AUDIENCE_FROM_HOST: "on" }).audienceFromHost).toBe(false);
  });

  it("lists every fault at once, with what was given, where, and the rule", () => {
    const argv = ["--listen", "8080", "--wrong", "--refresh-at=2", "--max-audiences", "stray"];
    argv.push("--impersonate=me@example.com");
    expect(faultsOf(argv, { MINT_TIMEOUT: "soon", TOKEN_HEADER: "cookie" })).toEqual([
      "--wrong: unknown flag; --help lists the known ones",
      '--listen "8080": must be HOST:PORT, as in 127.0.0.1:8080 or [::1]:8080',
      '--impersonate "me@example.com": must be ACCOUNT[,DELEGATE…], each a service account\'s e-mail address (…gserviceaccount.com)',
      'TOKEN_HEADER "cookie": must be one of authorization, x-serverless-authorization, proxy-authorization',
      '--refresh-at "2": must be a fraction from 0.1 to 0.9',
      'MINT_TIMEOUT "soon": must be a time such as 500ms, 5s or 1m, from 100 to 60000 ms',
      '--max-audiences "stray": must be a whole number from 1 to 100000',
    ]);
    expect(faultsOf([...given, "stray"])).toEqual(['"stray": unexpected argument']);
    expect(faultsOf([...given, "--listen"])).toEqual(["--listen: needs a value, HOST:PORT"]);
  });

  it("says why a pattern matches too much", () => {
    expect(faultsOf([...given, "--allow-audience", "*"])).toEqual([
      expect.stringMatching(/^--allow-audience "\*": matches too much: /),
    ]);
  });

  it("never shows a key that was pasted for its path", () => {
    const [fault] = faultsOf([], { GOOGLE_APPLICATION_CREDENTIALS: '{"private_key":"secret"}' });
    expect(fault).toBe(
      "GOOGLE_APPLICATION_CREDENTIALS (value not shown): must be a path, not the content of the file",
    );
  });
});

describe("isExposed", () => {
  it("is what other machines can reach", () => {
    expect(isExposed({ kind: "tcp", host: "0.0.0.0", port: 1 })).toBe(true);
    expect(isExposed({ kind: "tcp", host: "127.0.0.1", port: 1 })).toBe(false);
    expect(isExposed({ kind: "unix", path: "/run/a.sock" })).toBe(false);
  });
});

describe("the help", () => {
  it("tells every flag with its variable and default, within 100 columns", () => {
    const help = formatHelp("Usage: serve", serveSettings);
    for (const { flag, env } of Object.values(serveSettings)) {
      expect(help).toContain(`--${flag}`);
      expect(help).toContain(env);
    }
    expect(Math.max(...help.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });
});
