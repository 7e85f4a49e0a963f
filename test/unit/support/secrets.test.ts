import { expect, it } from "vitest";
import { createServiceAccount } from "../../support/service-account.ts";
import { refuseSecrets } from "../../support/secrets.ts";
import { compactToken } from "../../support/tokens.ts";

const { keyFile } = createServiceAccount({ tokenUri: "http://127.0.0.1/token" });
const pem = keyFile["private_key"] ?? "";

it.each([
  ["a token", `Bearer ${compactToken({ aud: "https://a.run.app" })}`],
  ["a part of a token", compactToken({ aud: "https://a.run.app" }).slice(0, 40)],
  ["a key file", JSON.stringify(keyFile)],
  ["the first line of a key", pem.split("\n")[1] ?? ""],
  ["a form with an assertion", "grant_type=x&assertion=y"],
])("the tests' search for secrets finds %s", (_what, text) => {
  expect(() => refuseSecrets(`{"msg":"${text}"}`, "here")).toThrow(/^here contains /);
});

it("the tests' search for secrets accepts audiences and key IDs", () => {
  const text = `minted an ID token for https://a.run.app, key ${keyFile["private_key_id"]}`;
  expect(() => refuseSecrets(text, "here")).not.toThrow();
});
