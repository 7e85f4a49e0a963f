import { describe, expect, it } from "vitest";
import { parseContent } from "../../../src/credentials/credential-content.ts";
import { StartError } from "../../../src/system/errors.ts";
import { PEM_KEY } from "../../support/pem-key.ts";

const user = {
  type: "authorized_user",
  client_id: "client",
  client_secret: "secret-of-the-client",
  refresh_token: "secret-of-the-user",
};
const base64 = (text: string) => Buffer.from(text).toString("base64");

function parse(content: unknown) {
  if (Buffer.isBuffer(content)) return parseContent(content, "key.json");
  const text = typeof content === "string" ? content : JSON.stringify(content);
  return parseContent(Buffer.from(text), "key.json");
}

describe("parseContent", () => {
  it.each([
    ["is empty", "", "it is empty"],
    ["has only white space", " \n", "it is empty"],
    ["is cut short", JSON.stringify(user).slice(0, 30), "it is not JSON, or cut short"],
    ["is no object", "[]", "it is not a JSON object"],
    [
      "is UTF-16",
      Buffer.from(`\uFEFF${JSON.stringify(user)}`, "utf16le"),
      "it is UTF-16, as PowerShell's > writes it: save it as UTF-8",
    ],
    [
      "is UTF-16 without its mark",
      Buffer.from(JSON.stringify(user), "utf16le"),
      "it is UTF-16, as PowerShell's > writes it: save it as UTF-8",
    ],
    [
      "is base64",
      base64(JSON.stringify(user)).replaceAll(/.{64}/g, "$&\n"),
      "it is base64: decode it, as in base64 -d FILE >key.json",
    ],
    [
      "is base64 of base64",
      base64(base64(JSON.stringify(user))),
      "it is base64: decode it, as in base64 -d FILE >key.json",
    ],
    [
      "is a text in JSON",
      JSON.stringify(JSON.stringify(user)),
      "it is JSON encoded twice: write the object itself, without quotes around it",
    ],
    [
      "is in quotes",
      `'${JSON.stringify(user)}'`,
      "it has quotes around it: write the object itself",
    ],
    ["is a key in PEM", PEM_KEY, "it is a key alone: give the whole JSON file that Google wrote"],
    [
      "is an OAuth client for programs",
      { installed: { client_id: "c", client_secret: "secret-of-the-client" } },
      "it is an OAuth client, not a credential: log in with it, as in " +
        "gcloud auth application-default login --client-id-file=FILE, or give a service account's key",
    ],
    ["is an OAuth client for web servers", { web: {} }, "it is an OAuth client, not a credential"],
  ])("refuses a file that %s, with what to do", (_what, content, reason) => {
    const parsing = () => parse(content);
    expect(parsing).toThrow(StartError);
    expect(parsing).toThrow(`key.json: no usable credential: ${reason}`);
    expect(parsing).not.toThrow(/secret-of/);
  });

  it("accepts a byte order mark and white space around the object", () => {
    const { values } = parse(`\uFEFF\n${JSON.stringify(user)}\n`);
    expect(values).toEqual(user);
  });
});
