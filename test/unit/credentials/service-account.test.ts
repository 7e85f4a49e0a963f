import { decodeJwt } from "jose";
import { expect, it } from "vitest";
import { parseContent } from "../../../src/credentials/credential-content.ts";
import { parseServiceAccount } from "../../../src/credentials/service-account.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { createServiceAccount } from "../../support/service-account.ts";
import { startKeyedEndpoint } from "../../support/keyed-endpoint.ts";

it("a key file gives its account's identity, which mints and may be granted a role", async () => {
  await using keyed = await startKeyedEndpoint();
  const { account, endpoint } = keyed;
  const content = Buffer.from(JSON.stringify(account.keyFile));
  const identity = parseServiceAccount(parseContent(content, "key.json"), systemClock);
  expect(identity).toMatchObject({
    type: "service_account",
    principal: account.clientEmail,
    keyId: account.keyId,
    endpoint: new URL(endpoint.url),
  });
  expect(identity.grantee()).toEqual({
    member: `serviceAccount:${account.clientEmail}`,
    role: "roles/iam.serviceAccountTokenCreator",
  });
  const minted = await identity.mint?.("https://a.run.app", AbortSignal.timeout(10_000));
  expect(decodeJwt(minted?.header.replace("Bearer ", "") ?? "")).toMatchObject({
    aud: "https://a.run.app",
    email: account.clientEmail,
  });
});

it("a key file without a key is a fault that names the file and the field", () => {
  const { keyFile } = createServiceAccount({ tokenUri: "https://oauth2.googleapis.com/token" });
  const content = Buffer.from(JSON.stringify({ ...keyFile, private_key: undefined }));
  expect(() => parseServiceAccount(parseContent(content, "key.json"), systemClock)).toThrow(
    /^key\.json: .*private_key is missing/,
  );
});
