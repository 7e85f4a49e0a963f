import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCredentials,
  KEY_ACCOUNT,
  MACHINE_ACCOUNT,
  TARGET,
  type Credentials,
} from "../support/credential-files.ts";
import { runDoctor } from "../support/doctor.ts";

const AUDIENCE = "https://a.run.app";

describe("doctor", () => {
  let world: Credentials;
  beforeAll(async () => {
    world = await createCredentials();
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  const diagnose = (...flags: readonly string[]) =>
    runDoctor([`--audience=${AUDIENCE}`, ...flags], {
      ...world.env,
      HOME: "/no/such/home",
      GCE_METADATA_HOST: world.metadata.host,
    });

  it.each([
    ["serviceAccount", [], KEY_ACCOUNT],
    ["serviceAccount", [`--impersonate=${TARGET}`], TARGET],
    ["impersonated", [], TARGET],
    ["federatedByFile", [], TARGET],
    ["federatedByAws", [], TARGET],
    ["federatedByExecutable", [], TARGET],
  ] as const)("passes for a credential file: %s %j", async (file, flags, email) => {
    const path = await world.write(world.files[file]);
    const { code, lines } = await diagnose(`--credentials=${path}`, ...flags);
    expect(lines["mint"]).toContain(`for ${AUDIENCE}, email ${email}, expires`);
    expect(code).toBe(0);
  });

  it("passes for the metadata server", async () => {
    const { code, lines } = await diagnose();
    expect(lines["file"]).toBe("✓ none: the metadata server is used");
    expect(lines["key"]).toBe(`✓ metadata_server ${MACHINE_ACCOUNT}`);
    expect(lines["mint"]).toContain(`email ${MACHINE_ACCOUNT}`);
    expect(code).toBe(0);
  });

  it("lists on one line where it looked for a credential if it finds none", async () => {
    const { code, lines, marks } = await runDoctor([`--audience=${AUDIENCE}`], {
      HOME: "/no/such/home",
      METADATA_SERVER_DETECTION: "none",
    });
    expect(lines["file"]).toContain("--credentials or GOOGLE_APPLICATION_CREDENTIALS: not given;");
    expect(lines["file"]).toContain("METADATA_SERVER_DETECTION is none)");
    expect(marks).toBe("✗------");
    expect(code).toBe(1);
  });
});
