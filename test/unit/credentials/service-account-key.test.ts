import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { StartError, UsageError } from "../../../src/system/errors.ts";
import { parseContent } from "../../../src/credentials/credential-content.ts";
import { parseServiceAccountKey } from "../../../src/credentials/service-account-key.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const pem = rsa.export({ type: "pkcs8", format: "pem" });
const fields = {
  type: "service_account",
  client_email: "caller@project.iam.gserviceaccount.com",
  private_key_id: "0123abcd",
  private_key: pem,
};
const text = (changes: Record<string, unknown> = {}) => JSON.stringify({ ...fields, ...changes });
const parse = (content: string, path = "key.json") =>
  parseServiceAccountKey(parseContent(Buffer.from(content), path));
const small = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
const curve = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const exported = (key: typeof rsa) => key.export({ type: "pkcs8", format: "pem" });

describe("parseServiceAccountKey", () => {
  it("returns what is needed to sign and exchange assertions", () => {
    const key = parse(text());
    expect(key.clientEmail).toBe(fields.client_email);
    expect(key.keyId).toBe("0123abcd");
    expect(key.tokenUri.href).toBe("https://oauth2.googleapis.com/token");
    expect(key.privateKey.asymmetricKeyType).toBe("rsa");
  });

  it("accepts PKCS #1, a missing key ID and a token_uri", () => {
    const pkcs1 = rsa.export({ type: "pkcs1", format: "pem" });
    const odd = text({
      private_key: pkcs1,
      private_key_id: undefined,
      token_uri: "http://[::1]:1/t",
    });
    const key = parse(odd);
    expect(key.keyId).toBe("");
    expect(key.tokenUri.href).toBe("http://[::1]:1/t");
  });

  it.each([
    ["without an e-mail", text({ client_email: undefined }), "its client_email is missing"],
    [
      "with a strange e-mail",
      text({ client_email: "a b@c\n" }),
      "its client_email is not an e-mail address",
    ],
    ["without a key", text({ private_key: 5 }), "its private_key is missing"],
    [
      "with a bad PEM",
      text({ private_key: pem.slice(0, 200) }),
      "its private_key is not a readable PEM private key",
    ],
    [
      "with line breaks that were escaped twice",
      text({ private_key: pem.replaceAll("\n", String.raw`\n`) }),
      String.raw`its private_key has \n as two characters where lines should end: ` +
        "escape it once, as in the file that Google wrote",
    ],
    [
      "with a curve's key",
      text({ private_key: exported(curve) }),
      "its private_key must be RSA, not ec",
    ],
    [
      "with a small key",
      text({ private_key: exported(small) }),
      "its private_key has 1024 bits, RS256 needs 2048",
    ],
  ])("refuses a file %s on one line that shows nothing of it", (_what, content, reason) => {
    expect(() => parse(content, "/keys/key.json")).toThrow(
      new StartError(`/keys/key.json: no usable credential: ${reason}`),
    );
  });

  it.each([
    "http://oauth2.googleapis.com/token",
    "ftp://x/t",
    "nonsense",
    "",
    5,
    "https://u:p@x/t",
  ])("refuses the token_uri %s as a configuration error", (token_uri) => {
    const parsing = () => parse(text({ token_uri }));
    expect(parsing).toThrow(UsageError);
    expect(parsing).toThrow(/token_uri.*must be https, or http to a loopback host/);
  });
});
