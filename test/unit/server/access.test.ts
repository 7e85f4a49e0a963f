import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openAccess, openTls } from "../../../src/server/access.ts";
import { parseConfig } from "../../../src/settings/serve.ts";
import { StartError } from "../../../src/system/errors.ts";
import { createContext } from "../../support/server-context.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const parts = { tls: undefined, accounts: { use: async () => {} } };
const request = { client: [], principal: undefined, named: undefined, host: undefined };

it("Without a policy the audiences decide, for every caller.", async () => {
  await using starting = new AsyncDisposableStack();
  const config = parseConfig(["--audience=https://a.run.app"], {});
  const { authorize, turns } = await openAccess(config, parts, createContext(), starting);
  expect(authorize(request)).toMatchObject({ audience: "https://a.run.app" });
  expect(authorize({ ...request, named: "https://b.run.app" })).toEqual({
    refused: "audience_not_allowed",
  });
  expect(turns).toBeUndefined();
});

it("With a policy its callers have each what it grants, and take turns.", async () => {
  await using folder = await makeTemporaryFolder();
  await using starting = new AsyncDisposableStack();
  const path = join(folder.path, "policy.yaml");
  await writeFile(path, "callers: [{client: web.example.com, audiences: [web]}]");
  const files = ["--tls-cert=a.crt", "--tls-key=a.key", "--client-ca=ca.crt"];
  const config = parseConfig([...files, `--policy=${path}`], {});
  const { authorize, turns } = await openAccess(config, parts, createContext(), starting);
  const granted = authorize({ ...request, client: ["web.example.com"] });
  expect(granted).toMatchObject({ audience: "web", caller: "web.example.com" });
  expect(authorize(request)).toEqual({ refused: "caller_not_allowed" });
  const taken = Array.from({ length: 1000 }, () => turns?.take("web.example.com"));
  expect(taken.some((turn) => turn instanceof Promise)).toBe(true);
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
