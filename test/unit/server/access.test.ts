import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openAccess, openTls } from "../../../src/server/access.ts";
import { parseConfig } from "../../../src/settings/serve.ts";
import { StartError } from "../../../src/system/errors.ts";
import { createContext } from "../../support/server-context.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const parts = { tls: undefined, tokens: { retain: () => {} } };
const request = { client: [], principal: undefined, named: undefined, host: undefined };

it("Without a policy the audiences decide, for every caller.", async () => {
  await using starting = new AsyncDisposableStack();
  const config = parseConfig(["--audience=https://a.run.app"], {});
  const { authorize } = await openAccess(config, parts, createContext(), starting);
  expect(authorize(request)).toMatchObject({ audience: "https://a.run.app" });
  expect(authorize({ ...request, named: "https://b.run.app" })).toEqual({
    refused: "audience_not_allowed",
  });
});

it("The check secret is read again by reload.", async () => {
  await using folder = await makeTemporaryFolder();
  await using starting = new AsyncDisposableStack();
  const path = join(folder.path, "secret");
  await writeFile(path, "first");
  const config = parseConfig([`--check-secret-file=${path}`], {});
  const { secret, reload } = await openAccess(config, parts, createContext(), starting);
  expect(secret?.matches("first")).toBe(true);
  await writeFile(path, "second");
  reload();
  await expect.poll(() => secret?.matches("second")).toBe(true);
});

it("A certificate that cannot be used ends the start.", async () => {
  const flags = ["--tls-cert=/no/such.crt", "--tls-key=/no/such.key"];
  await expect(openTls(parseConfig(flags, {}), createContext())).rejects.toThrow(StartError);
  expect(await openTls(parseConfig([], {}), createContext())).toBeUndefined();
});
