import { describe, expect, it } from "vitest";
import { parseDoctorFlags } from "../../../src/settings/doctor.ts";
import { UsageError } from "../../../src/system/errors.ts";

const key = "--credentials=key.json";
const url = "--service-url=https://hello-1234567890.europe-west1.run.app";

describe("parseDoctorFlags", () => {
  it.each([
    [[key, "--audience=a"], {}, "a"],
    [[key, url], {}, "https://hello-1234567890.europe-west1.run.app"],
    [[key, `${url}:443/`], {}, "https://hello-1234567890.europe-west1.run.app"],
    [
      [key, "--service-url=https://canary---svc-abc123-ew.a.run.app"],
      {},
      "https://svc-abc123-ew.a.run.app",
    ],
    [[key, url, "--audience=a"], {}, "a"],
    [[key, url], { AUDIENCE: "b,c" }, "b"],
    [[key, "--audience=a"], { AUDIENCE: "b,c" }, "a"],
  ])("takes the audience from %j and %j", (argv, env, audience) => {
    expect(parseDoctorFlags(argv, env).audience).toBe(audience);
  });

  it("says one thing of a wrong URL, and not that the audience is missing, too", () => {
    const parse = () => parseDoctorFlags([key, "--service-url=http://x"], {});
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(/^--service-url "http:\/\/x": must be https:\/\/HOST .*$/);
  });
});

describe("with --authz", () => {
  const path = "/run/authz.sock";
  it.each([
    ["https://Authz.internal", { kind: "https", host: "authz.internal", port: 443 }],
    ["http://127.0.0.1:8080/", { kind: "tcp", host: "127.0.0.1", port: 8080 }],
    ["127.0.0.1:8080", { kind: "tcp", host: "127.0.0.1", port: 8080 }],
    [`unix:${path}`, { kind: "unix", path }],
  ])("takes %s, and needs no audience", (given, authz) => {
    expect(parseDoctorFlags(["--authz", given], {})).toMatchObject({ authz, audience: "" });
  });

  it("takes the folder of the certificates, the check secret and the audience", () => {
    const flags = ["--authz=https://a", "--authz-cert-dir=/certs", url];
    expect(parseDoctorFlags(flags, { CHECK_SECRET_FILE: "secret" })).toMatchObject({
      authzCertDir: "/certs",
      checkSecretFile: "secret",
      audience: "https://hello-1234567890.europe-west1.run.app",
    });
  });

  it.each(["--credentials=a", "--impersonate=a@b", "--print-token"])("refuses %s", (flag) => {
    expect(() => parseDoctorFlags(["--authz=unix:/a", flag], {})).toThrow("with --authz");
  });

  it("ignores the variables of flags that it refuses", () => {
    const env = { GOOGLE_APPLICATION_CREDENTIALS: "key.json", IMPERSONATE: "?" };
    expect(parseDoctorFlags(["--authz=unix:/a"], env).credentials).toBeUndefined();
  });
});

it.each(["--authz-cert-dir=a", "--check-secret-file=a"])("%s needs --authz", (flag) => {
  expect(() => parseDoctorFlags([key, url, flag], {})).toThrow(": needs --authz");
});
