import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../../src/system/clock.ts";
import { findCredential } from "../../../src/credentials/application-default.ts";
import { createAccessTokens } from "../../support/access-tokens.ts";
import { startMetadataServer } from "../../support/metadata-server.ts";
import { createServiceAccount } from "../../support/service-account.ts";
import { runMain } from "../../support/server-process.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";
import { createTokenIssuer } from "../../support/token-issuer.ts";

/** Whether this process runs as a user whom the system does not know. */
const noHome = vi.hoisted(() => ({ isOn: false }));
vi.mock("node:os", async (importOriginal) => {
  const os = await importOriginal<typeof import("node:os")>();
  const homedir = () => {
    if (noHome.isOn) throw new Error("A system error occurred: uv_os_homedir returned ENOENT");
    return os.homedir();
  };
  return { ...os, homedir };
});

const FILE = "application_default_credentials.json";
let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
let home = "";

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  home = folder.path;
});
afterAll(() => folder?.[Symbol.asyncDispose]());

const find = (given: string | undefined, env: NodeJS.ProcessEnv) =>
  findCredential(given, systemClock, { env, impersonate: undefined });

async function login(at: string, clientEmail: string): Promise<string> {
  await mkdir(at, { recursive: true });
  const path = join(at, FILE);
  await createServiceAccount({ tokenUri: "http://127.0.0.1:1/", clientEmail }).writeTo(path);
  return path;
}

describe("Application Default Credentials", () => {
  it("are gcloud's well-known file", async () => {
    const path = await login(join(home, ".config/gcloud"), "a@p.iam.gserviceaccount.com");
    const place = await find(undefined, { HOME: home });
    expect(place.file?.path).toBe(path);
    expect(place.initial().principal).toBe("a@p.iam.gserviceaccount.com");
  });

  it("are in the folder that CLOUDSDK_CONFIG names", async () => {
    const other = join(home, "other");
    const path = await login(other, "b@p.iam.gserviceaccount.com");
    const env = { HOME: home, CLOUDSDK_CONFIG: other };
    expect((await find(undefined, env)).file?.path).toBe(path);
  });

  it("yield to a file that is given", async () => {
    const path = await login(join(home, "given"), "c@p.iam.gserviceaccount.com");
    expect((await find(path, { HOME: home })).file?.path).toBe(path);
  });

  it("are not skipped if they cannot be used", async () => {
    const broken = join(home, "broken");
    await mkdir(broken);
    await writeFile(join(broken, FILE), "{");
    const { code, stderr } = await runMain([], { CLOUDSDK_CONFIG: broken });
    expect(code).toBe(1);
    expect(stderr).toBe(
      `${join(broken, FILE)}: no usable credential: it is not JSON, or cut short\n`,
    );
  });

  it("are reported with every place and the remedy if there are none", async () => {
    const empty = join(home, "empty");
    const env = { HOME: empty, METADATA_SERVER_DETECTION: "none" };
    const { code, stderr } = await runMain(["--audience=a"], env);
    expect(code).toBe(1);
    expect(stderr.trim().split("\n")).toEqual([
      "no credential was found; looked for",
      "  --credentials or GOOGLE_APPLICATION_CREDENTIALS: not given",
      `  ${join(empty, ".config/gcloud", FILE)}: there is no such file`,
      "  the metadata server: METADATA_SERVER_DETECTION is none",
      expect.stringMatching(/^→ give --credentials .*gcloud auth application-default login/),
    ]);
  });

  it("say that HOME is missing where the user has no home folder, as in OpenShift", async () => {
    noHome.isOn = true;
    const searching = find(undefined, { METADATA_SERVER_DETECTION: "none" });
    await expect(searching).rejects.toThrow(
      /\n {2}gcloud's credential file: HOME is not set, and the user has no home folder\n/,
    );
    noHome.isOn = false;
  });

  it.each([
    ["hang", /the metadata server: no answer from 127.0.0.1:\d+ within 2000 ms$/m],
    ["captive_portal", /^ {2}the metadata server at .* answered without Metadata-Flavor: Google/m],
  ] as const)(
    "are not a metadata server that fails with %s if only its answer could show it",
    async (fault, why) => {
      const issuer = await createTokenIssuer(600);
      const accessTokens = createAccessTokens();
      await using metadata = await startMetadataServer({ issuer, accessTokens, account: "a@b" });
      const env = {
        HOME: "/no/such/home",
        GCE_METADATA_HOST: metadata.host,
        METADATA_SERVER_DETECTION: "ping-only",
      };
      const found = await find(undefined, env);
      expect(found.initial().principal).toBe("a@b");
      metadata.setFault(fault);
      const { code, stderr } = await runMain([], env);
      expect(code).toBe(1);
      expect(stderr).toMatch(why);
    },
  );

  it("are refused for a GCE_METADATA_HOST that is not a host", async () => {
    const { code, stderr } = await runMain([], { HOME: home, GCE_METADATA_HOST: "a/b?c" });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^GCE_METADATA_HOST, "http:\/\/a\/b", must be HOST or HOST:PORT/);
  });
});
