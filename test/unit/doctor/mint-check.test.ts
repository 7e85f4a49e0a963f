import { describe, expect, it } from "vitest";
import type { Credential } from "../../../src/credentials/credential.ts";
import { CheckFailure } from "../../../src/doctor/checklist.ts";
import { checkMint, remedyFor } from "../../../src/doctor/mint-check.ts";
import { MintError, type MintCode } from "../../../src/system/errors.ts";
import { parseIdToken } from "../../../src/tokens/id-token.ts";
import { compactToken } from "../../support/tokens.ts";

const ACCOUNT = "caller@project.iam.gserviceaccount.com";
const EXP = Date.UTC(2026, 0, 1, 12) / 1000;

/** A credential that mints tokens with these claims. */
function credential(claims: Readonly<Record<string, unknown>>): Credential {
  const token = compactToken({ aud: "a", exp: EXP, ...claims });
  const now = { wallMs: (EXP - 3600) * 1000, monotonicMs: 0 };
  return {
    type: "service_account",
    principal: ACCOUNT,
    keyId: "1",
    endpoint: new URL("https://oauth2.googleapis.com/token"),
    mint: async () => parseIdToken(token, "a", now, now.wallMs),
    mintAs: () => () => Promise.reject(new Error("not used")),
  };
}

describe("checkMint", () => {
  it("reports issuer, audience, e-mail and expiry, and never the token", async () => {
    const claims = { iss: "https://accounts.google.com", email: "other@example.com" };
    const { value, ...told } = await checkMint(credential(claims), "a", 1000);
    expect(told).toEqual({
      message:
        "ID token from https://accounts.google.com for a, email other@example.com, " +
        "expires 2026-01-01T12:00:00Z, in 60 min",
      remedy: undefined,
      facts: {
        issuer: "https://accounts.google.com",
        audience: "a",
        email: "other@example.com",
        expires: "2026-01-01T12:00:00Z",
      },
    });
    expect(value).toEqual({ token: expect.stringMatching(/^eyJ/), email: "other@example.com" });
  });

  it("warns about an issuer that Cloud Run does not accept, and copes without an e-mail", async () => {
    const { message, remedy, value } = await checkMint(credential({ iss: "https://x" }), "a", 1000);
    expect(message).toContain("from https://x for a, email (none), ");
    expect(remedy).toBe("Cloud Run accepts only tokens of accounts.google.com");
    expect(value.email).toBe(ACCOUNT);
  });

  it("gives up after the timeout", async () => {
    const hanging = { ...credential({}), mint: () => new Promise<never>(() => {}) };
    await expect(checkMint(hanging, "a", 10)).rejects.toEqual(
      new CheckFailure(
        "no answer within 10 ms",
        "try again, with more time: --mint-timeout, or doctor's --timeout",
        {
          code: "mint_timeout",
        },
      ),
    );
  });
});

describe("remedyFor", () => {
  const remedy = (code: MintCode, peerCode?: string, description?: string) =>
    remedyFor(new MintError(code, "not searched", { peerCode, description }), ACCOUNT);

  it.each([
    [
      "account not found",
      "the account was deleted, or has another name: " +
        `gcloud iam service-accounts describe ${ACCOUNT}`,
    ],
    [
      "Invalid JWT Signature.",
      "check whether this key still exists, " +
        `gcloud iam service-accounts keys list --iam-account=${ACCOUNT}, and create a new one if not: ` +
        `gcloud iam service-accounts keys create FILE --iam-account=${ACCOUNT}`,
    ],
    ["Token must be … in a reasonable timeframe.", "set this machine's clock"],
  ])("depends on what the endpoint said: %s", (description, expected) => {
    expect(remedy("mint_rejected", "invalid_grant", description)).toBe(expected);
  });

  it("depends on the kind of failure if the endpoint said nothing", () => {
    expect(remedy("mint_rejected", "invalid_scope", "ID token audience")).toBe("check --audience");
    expect(remedy("mint_rejected")).toBeUndefined();
    expect(remedy("mint_unavailable")).toMatch(/^try again in a minute; /);
    const unreached = { networkCode: "ENOTFOUND" };
    expect(remedyFor(new MintError("mint_unavailable", "", unreached), ACCOUNT)).toContain("DNS");
    expect(remedy("mint_invalid_answer")).toMatch(/^something else may be answering /);
  });
});
