import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openPolicy } from "../../../src/access/policy-file.ts";
import { UsageError } from "../../../src/system/errors.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const options = { fromHost: false, parseAccount: (text: string) => text };
const web = { client: ["web.example.com"], principal: undefined };
const none = { named: undefined, host: undefined };
const policyFor = (audience: string) =>
  `callers: [{client: web.example.com, audiences: ["${audience}"]}]\n`;

it("uses a new policy as a whole; one that is not valid is reported, and the old one stays", async () => {
  await using folder = await makeTemporaryFolder();
  const path = join(folder.path, "policy.yaml");
  await writeFile(path, policyFor("https://a.run.app"));
  const reported: string[] = [];
  const policy = await openPolicy(path, options, createFakeClock(), {
    policyChanged: ({ callers }) => reported.push(`changed: ${callers.length}`),
    policyUnusable: ({ message }) => reported.push(message),
  });
  expect(policy.grant(web, none)).toMatchObject({ audience: "https://a.run.app" });
  await writeFile(path, policyFor("*"));
  await policy.reload();
  expect(policy.grant(web, none)).toMatchObject({ audience: "https://a.run.app" });
  await writeFile(path, policyFor("https://b.run.app"));
  await policy.reload();
  expect(policy.grant(web, none)).toMatchObject({ audience: "https://b.run.app" });
  expect(reported).toEqual([
    expect.stringMatching(/policy\.yaml:1: callers\[0\]\.audiences\[0\] "\*": matches too much/),
    "changed: 1",
  ]);
  policy.close();
});

it("is not opened if the policy is not valid", async () => {
  await using folder = await makeTemporaryFolder();
  const path = join(folder.path, "policy.yaml");
  await writeFile(path, "callers: []");
  const silent = { policyChanged: () => {}, policyUnusable: () => {} };
  await expect(openPolicy(path, options, createFakeClock(), silent)).rejects.toThrow(UsageError);
});
