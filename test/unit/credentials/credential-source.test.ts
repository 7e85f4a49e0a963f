import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseContent } from "../../../src/credentials/credential-content.ts";
import { createSubjectTokenSource } from "../../../src/credentials/credential-source.ts";
import { startIdentityProvider } from "../../support/identity-provider.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

/** Obtains a subject token as a file with this credential_source says. */
async function obtain(credential_source: unknown, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const content = { type: "external_account", audience: "a", subject_token_type: "t" };
  const text = JSON.stringify({ ...content, credential_source });
  const fields = parseContent(Buffer.from(text), "credential.json");
  const source = createSubjectTokenSource(fields, env, undefined);
  return (await source(AbortSignal.timeout(10_000))).token;
}

it("a credential_source with a file, a URL or an executable yields its subject token", async () => {
  await using folder = await makeTemporaryFolder();
  await using provider = await startIdentityProvider();
  const file = join(folder.path, "token");
  await writeFile(file, "from-file");
  expect(await obtain({ file })).toBe("from-file");

  const url = { url: `${provider.url}/text`, headers: provider.headers };
  expect((await obtain(url)).split(".")).toHaveLength(3);

  const printed = { version: 1, success: true, token_type: "t", id_token: "printed" };
  await writeFile(file, JSON.stringify(printed));
  const executable = { command: `/bin/cat ${file}` };
  const env = { GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: "1" };
  expect(await obtain({ executable }, env)).toBe("printed");
});

it.each([{}, { region_url: "http://169.254.169.254" }])(
  "a credential_source of no known kind is a fault that lists the kinds: %j",
  async (source) => {
    await expect(obtain(source)).rejects.toThrow("none of file, url, AWS, certificate, executable");
  },
);

it("a missing credential_source is a fault", async () => {
  await expect(obtain(undefined)).rejects.toThrow("its credential_source is missing");
});
