import { describe, expect, it } from "vitest";
import { doctorHelp, parseDoctorFlags } from "../../../src/commands/doctor.ts";
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

describe("the help", () => {
  it("fits 100 columns", () => {
    expect(
      Math.max(
        ...doctorHelp()
          .split("\n")
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(100);
  });
});
