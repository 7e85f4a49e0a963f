import { generateKeyPairSync, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { isShowable, quote, showNamed, showPath } from "../../../src/system/show.ts";

const pem = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
  type: "pkcs8",
  format: "pem",
});
const json = JSON.stringify({ type: "service_account", private_key: pem }, null, 2);
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("isShowable", () => {
  it.each([
    "/var/run/secrets/google/key.json",
    "/home/someone/.config/gcloud/application_default_credentials.json",
    "./my-project-prod-123456-0123456789ab.json",
    "/tmp/idtoken-authz-AbC123/key.json",
    "/var/lib/kubelet/pods/123e4567-e89b-42d3-a456-426614174000/volumes/key/key.json",
    "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/key.json",
    "C:\\Users\\Someone\\key.json",
    "MyServiceAccountKeyProduction2026.json",
    "https://orders-abc123-ew.a.run.app",
    "caller@my-project.iam.gserviceaccount.com",
    "127.0.0.1:8080",
  ])("is true for %s", (text) => {
    expect(isShowable(text)).toBe(true);
  });

  it.each([
    ["JSON", json],
    ["JSON on one line", JSON.stringify(JSON.parse(json))],
    ["JSON in quotes", `'${json}'`],
    ["JSON encoded twice", JSON.stringify(json)],
    ["the beginning of JSON", '{"type"'],
    ["PEM", pem],
    ["PEM without its lines", pem.replaceAll(/-----[^-]*-----|\n/g, "")],
    ["base64", base64(json)],
    ["base64 in quotes", `"${base64(json)}"`],
    ["base64 of base64", base64(base64(json))],
    ["base64url", Buffer.from(json).toString("base64url")],
    ["the beginning of base64", base64(json).slice(0, 30)],
    ["several lines", "first\nsecond"],
    ["a long text", "word ".repeat(100)],
    ["a long path", "/folder".repeat(100)],
    ["a JSON Web Token", `${base64('{"alg":"RS256"}')}.e.s`],
    ["an access token", "ya29.abc"],
    ["16 random bytes in hexadecimal", randomBytes(16).toString("hex")],
    ["32 random bytes in hexadecimal", randomBytes(32).toString("hex")],
    ["a random password", "hT7kQz2mWx9RbL4vNc8Y"],
  ])("is false for %s", (_what, text) => {
    expect(isShowable(text)).toBe(false);
  });
});

describe("quote", () => {
  it("puts a value in quotes, with what cannot be seen escaped", () => {
    expect(quote('a "b"')).toBe('"a \\"b\\""');
  });

  it("replaces what may be a secret", () => {
    expect(quote(json)).toBe("(value not shown)");
  });
});

describe("showPath", () => {
  it("shows a path", () => {
    const paths = ["/keys/key", "./key", "../key", "key.json", "C:\\key", "keys/key.json"];
    expect(paths.map(showPath)).toEqual(paths);
  });

  it("does not show random bytes, in any encoding", () => {
    const bytes = Buffer.from("fbe2f6a1c3d4507f8897b6a5c4d3e2f1", "hex");
    for (const encoding of ["base64", "base64url", "hex"] as const) {
      expect(showPath(bytes.toString(encoding))).toBe("(path not shown, as it may be a secret)");
    }
  });

  it.each(["hunter2", "correct horse battery staple", "'/keys/key.json'", json, base64(json)])(
    "does not show %j",
    (text) => {
      expect(showPath(text)).toBe("(path not shown, as it may be a secret)");
    },
  );
});

describe("showNamed", () => {
  it("shows what a client named, the beginning of a long text, and nothing of a token", () => {
    const id = "1234-k3jZ9dQ0mBv7xWq2.apps.googleusercontent.com";
    expect(showNamed(id)).toBe(id);
    expect(showNamed("a".repeat(100_000))).toBe(`${"a".repeat(200)}…`);
    expect(showNamed(`Bearer ${base64('{"alg":"RS256"}')}.e30.x`)).toBe("(value not shown)");
    expect(showNamed(undefined)).toBeUndefined();
  });
});
